// What a program does with etcd through the Node client `etcd3`: ENDPOINT, or ENDPOINT CA CERTIFICATE KEY.
'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { Etcd3 } = require('etcd3');

const PATIENCE = 30_000;

/** Waits for a promise, but not for ever. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${PATIENCE} ms`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Expects an error with a text. */
async function refused(promise, text) {
  await assert.rejects(soon(promise, text), error => {
    assert.ok(error.message.includes(text), `${error.message}, where ${text} was expected`);
    return true;
  });
}

/** Gathers the events of a watcher, and gives the first so many when they are there. */
function gather(watcher) {
  const events = [];
  let wake = () => {};
  for (const kind of ['put', 'delete']) {
    watcher.on(kind, (kv, previous) => {
      events.push({ kind, key: String(kv.key), value: String(kv.value), previous: previous && String(previous.value) });
      wake();
    });
  }
  const enough = async count => {
    while (events.length < count) await new Promise(resolve => (wake = resolve));
    return events;
  };
  return count => soon(enough(count), `${count} events, of which there are ${events.length}`);
}

async function keysAndValues(client) {
  for (let index = 0; index < 10; index++) await client.put(`key/${index}`).value(`value ${index}`);
  assert.equal(await client.get('key/3').string(), 'value 3');
  assert.equal(await client.get('missing').string(), null);
  const pairs = await client.getAll().prefix('key/').sort('Key', 'Descend').limit(3).strings();
  assert.deepEqual(Object.entries(pairs), [['key/9', 'value 9'], ['key/8', 'value 8'], ['key/7', 'value 7']]);
  assert.equal(await client.getAll().prefix('key/').count(), 10);
  assert.equal((await client.put('key/3').value('other').getPrevious()).value.toString(), 'value 3');
  assert.equal((await client.delete().key('key/3')).deleted, '1');
  assert.equal((await client.delete().key('key/3')).deleted, '0');
  assert.equal((await client.delete().prefix('key/').getPrevious()).length, 9);
  const large = Buffer.alloc(1_000_000, '\u00ff', 'latin1');
  await client.put('large').value(large);
  assert.ok(large.equals(await client.get('large').buffer()));
}

async function transactions(client) {
  await client.put('txn').value('1');
  const guarded = () => client.if('txn', 'Value', '==', '1').and('absent', 'Create', '==', 0);
  let answer = await guarded().then(client.put('txn').value('2'), client.get('txn')).commit();
  assert.equal(answer.succeeded, true);
  assert.equal(answer.responses[1].response_range.kvs[0].value.toString(), '2');
  answer = await guarded().then(client.put('txn').value('3')).else(client.get('txn'), client.delete().key('txn')).commit();
  assert.equal(answer.succeeded, false);
  assert.equal(answer.responses[1].response_delete_range.deleted, '1');
  // The library's own optimistic transactions.
  await client.put('stm').value(0);
  const add = () => client.stm({ retries: 100 }).transact(async tx => {
    const value = await tx.get('stm').number();
    await tx.put('stm').value(value + 1);
  });
  await Promise.all(Array.from({ length: 5 }, add));
  assert.equal(await client.get('stm').number(), 5);
}

async function watches(client) {
  const first = (await client.put('watch/a').value('1')).header.revision;
  const watcher = await client.watch().prefix('watch/').startRevision(first).withPreviousKV().create();
  const events = gather(watcher);
  await client.put('watch/a').value('2');
  await client.delete().key('watch/a');
  await client.put('watched').value('not here');
  await client.put('watch/b').value('3');
  const [put, changed, deleted, other] = await events(4);
  assert.deepEqual([put.kind, put.value], ['put', '1']);
  assert.deepEqual([changed.value, changed.previous], ['2', '1']);
  assert.deepEqual([deleted.kind, deleted.previous], ['delete', '2']);
  assert.equal(other.key, 'watch/b');
  await soon(watcher.cancel(), 'the end of a watch');
}

async function leases(client) {
  const lease = client.lease(300, { autoKeepAlive: false });
  await lease.put('leased/a').value('1');
  const id = await lease.grant();
  let left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.equal(left.grantedTTL, '300');
  assert.deepEqual(left.keys.map(String), ['leased/a']);
  assert.equal((await lease.keepaliveOnce()).TTL, '300');
  await lease.revoke();
  assert.equal(await client.get('leased/a').string(), null);
  await refused(client.leaseClient.leaseRevoke({ ID: id }), 'etcdserver: requested lease not found');
  const watcher = await client.watch().key('leased/b').create();
  const events = gather(watcher);
  const short = client.lease(1, { autoKeepAlive: false });
  await short.put('leased/b').value('1');
  assert.deepEqual((await events(2)).map(event => event.kind), ['put', 'delete']);
  left = await client.leaseClient.leaseTimeToLive({ ID: await short.grant() });
  assert.equal(left.TTL, '-1');
  await soon(watcher.cancel(), 'the end of a watch');
}

async function compaction(client) {
  const first = (await client.put('compacted').value('1')).header.revision;
  const last = (await client.put('compacted').value('2')).header.revision;
  assert.equal(await client.get('compacted').revision(first).string(), '1');
  await client.kv.compact({ revision: last });
  const compacted = 'etcdserver: mvcc: required revision has been compacted';
  await refused(client.get('compacted').revision(first).string(), compacted);
  await refused(client.kv.compact({ revision: last }), compacted);
  const future = 'etcdserver: mvcc: required revision is a future revision';
  await refused(client.get('compacted').revision(Number(last) + 1).string(), future);
  const watcher = client.watch().key('compacted').startRevision(first).watcher();
  const error = await soon(new Promise(resolve => watcher.on('error', resolve)), 'the refusal of a watch');
  // etcd gives the revision it is compacted to and no reason in words, and the library shows the words alone.
  assert.match(error.message, /^Watcher canceled/);
}

async function errors(client) {
  await refused(client.put('').value('x').exec(), 'etcdserver: key is not provided');
  const twice = client.if('absent', 'Create', '==', 0).then(client.put('k').value('1'), client.put('k').value('2'));
  await refused(twice.commit(), 'etcdserver: duplicate key given in txn request');
  await refused(client.put('k').value(Buffer.alloc(1_600_000)).exec(), 'etcdserver: request is too large');
  await refused(client.put('k').value('v').lease('12345').exec(), 'etcdserver: requested lease not found');
}

async function maintenance(client) {
  assert.match((await client.maintenance.status()).version, /^3\./);
  assert.deepEqual((await client.cluster.memberList({})).members.map(member => member.name), ['one']);
}

/** A client without a certificate of its own gets nothing. */
async function turnedAway(endpoint, rootCertificate) {
  const client = new Etcd3({ hosts: endpoint, credentials: { rootCertificate }, dialTimeout: 5_000 });
  await assert.rejects(soon(client.get('x').string(), 'the refusal of a client'));
  client.close();
}

async function main() {
  const [endpoint, ca, certificate, key] = process.argv.slice(2);
  const credentials = ca && {
    rootCertificate: readFileSync(ca), certChain: readFileSync(certificate), privateKey: readFileSync(key),
  };
  const client = new Etcd3({ hosts: endpoint, credentials });
  for (const check of [keysAndValues, transactions, watches, leases, compaction, errors, maintenance]) {
    await check(client).catch(error => {
      error.message = `${check.name}: ${error.message}`;
      throw error;
    });
  }
  client.close();
  if (ca) await turnedAway(endpoint, readFileSync(ca));
}

main().then(
  () => process.exit(0),
  error => {
    console.error(error);
    process.exit(1);
  },
);
