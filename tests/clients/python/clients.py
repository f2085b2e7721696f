"""What a program does with etcd through the Python client `etcd3`: ENDPOINT, or ENDPOINT CA CERTIFICATE KEY."""

import sys
import threading
from urllib.parse import urlsplit

import etcd3
import grpc
from etcd3 import etcdrpc, exceptions
from etcd3.events import DeleteEvent, PutEvent

PATIENCE = 30


def refused(call, code, text):
    """Calls, and expects a status."""
    try:
        call()
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (code, text), (error.code(), error.details())
        return
    raise AssertionError(f"no error, where {text!r} was expected")


def taken(events, count):
    """The next so many events of a watch, or an error when they do not come."""
    found = []

    def take():
        for _ in range(count):
            found.append(next(events))

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    taking.join(PATIENCE)
    assert len(found) == count, f"{len(found)} of {count} events after {PATIENCE} s"
    return found


def keys_and_values(client):
    for index in range(10):
        client.put(f"key/{index}", f"value {index}")
    value, meta = client.get("key/3")
    assert value == b"value 3" and meta.version == 1 and meta.create_revision == meta.mod_revision
    pairs = [(meta.key, value) for value, meta in client.get_prefix("key/", sort_order="descend")]
    assert pairs == [(b"key/%d" % i, b"value %d" % i) for i in range(9, -1, -1)], pairs
    assert len(list(client.get_prefix("key/", keys_only=True))) == 10
    assert client.get("missing") == (None, None)
    answer = client.put("key/3", "other", prev_kv=True)
    assert answer.prev_kv.value == b"value 3"
    assert client.delete("key/3") and not client.delete("key/3")
    assert client.delete_prefix("key/").deleted == 9
    large = b"\x00\xff" * 500_000
    client.put("large", large)
    assert client.get("large")[0] == large


def transactions(client):
    t = client.transactions
    client.put("txn", "1")
    compare = [t.value("txn") == "1", t.version("txn") > 0, t.create("absent") == 0]
    well, answers = client.transaction(compare, [t.put("txn", "2"), t.get("txn")], [t.get("txn")])
    assert well and answers[1][0][0] == b"2"
    well, answers = client.transaction(compare, [t.put("txn", "3")], [t.get("txn"), t.delete("txn")])
    assert not well and answers[0][0][0] == b"2" and client.get("txn")[0] is None
    assert client.put_if_not_exists("once", "a") and not client.put_if_not_exists("once", "b")
    assert client.replace("once", "a", "c") and not client.replace("once", "a", "d")


def watches(client):
    first = client.put("watch/a", "1").header.revision
    events, cancel = client.watch_prefix("watch/", start_revision=first, prev_kv=True)
    client.put("watch/a", "2")
    client.delete("watch/a")
    client.put("watched", "not here")
    client.put("watch/b", "3")
    put, changed, deleted, other = taken(events, 4)
    assert isinstance(put, PutEvent) and put.value == b"1" and put.mod_revision == first
    assert changed.value == b"2" and changed.prev_value == b"1"
    assert isinstance(deleted, DeleteEvent) and deleted.prev_value == b"2" and deleted.mod_revision == first + 2
    assert other.key == b"watch/b"
    cancel()


def leases(client):
    lease = client.lease(300)
    client.put("leased/a", "1", lease=lease)
    assert lease.granted_ttl == 300 and 290 <= lease.remaining_ttl <= 300 and list(lease.keys) == [b"leased/a"]
    assert lease.refresh()[0].TTL == 300
    lease.revoke()
    assert client.get("leased/a")[0] is None
    refused(lease.revoke, grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found")
    short = client.lease(1)
    events, cancel = client.watch("leased/b")
    client.put("leased/b", "1", lease=short)
    put, gone = taken(events, 2)
    assert isinstance(put, PutEvent) and isinstance(gone, DeleteEvent)
    assert client.get_lease_info(short.id).TTL == -1
    cancel()


def compaction(client):
    first = client.put("compacted", "1").header.revision
    last = client.put("compacted", "2").header.revision
    read = lambda at: client.kvstub.Range(etcdrpc.RangeRequest(key=b"compacted", revision=at))
    assert read(first).kvs[0].value == b"1"
    client.compact(last)
    out_of_range = grpc.StatusCode.OUT_OF_RANGE
    refused(lambda: read(first), out_of_range, "etcdserver: mvcc: required revision has been compacted")
    refused(lambda: read(last + 1), out_of_range, "etcdserver: mvcc: required revision is a future revision")
    refused(lambda: client.compact(last), out_of_range, "etcdserver: mvcc: required revision has been compacted")
    events, _ = client.watch("compacted", start_revision=first)
    try:
        next(events)
    except exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == last, error.compacted_revision
    else:
        raise AssertionError("a watch from a compacted revision began")


def errors(client):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(lambda: client.put("", "x"), invalid, "etcdserver: key is not provided")
    t = client.transactions
    twice = lambda: client.transaction([], [t.put("k", "1"), t.put("k", "2")], [])
    refused(twice, invalid, "etcdserver: duplicate key given in txn request")
    refused(lambda: client.put("k", b"x" * 1_600_000), invalid, "etcdserver: request is too large")
    absent = lambda: client.put("k", "v", lease=12345)
    refused(absent, grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found")


def maintenance(client):
    assert client.status().version.startswith("3."), client.status().version
    assert [member.name for member in client.members] == ["one"]
    assert list(client.list_alarms()) == []
    client.defragment()


def turned_away(host, port, ca):
    """A client without a certificate of its own gets nothing."""
    client = etcd3.client(host=host, port=port, ca_cert=ca, timeout=5)
    try:
        client.get("x")
    except (exceptions.ConnectionFailedError, exceptions.ConnectionTimeoutError):
        return
    raise AssertionError("a client without a certificate was served")


def main():
    url = urlsplit(sys.argv[1])
    ca, certificate, key = sys.argv[2:] or (None, None, None)
    client = etcd3.client(
        host=url.hostname, port=url.port, ca_cert=ca, cert_cert=certificate, cert_key=key, timeout=PATIENCE
    )
    for check in (keys_and_values, transactions, watches, leases, compaction, errors, maintenance):
        check(client)
    client.close()
    if ca:
        turned_away(url.hostname, url.port, ca)


main()
