// What a program does with etcd through clientv3: ENDPOINT, or ENDPOINT CA CERTIFICATE KEY.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const patience = 30 * time.Second

// must ends the program with what went wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func that(holds bool, format string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(format, arguments...))
	}
}

// refused expects one of etcd's errors.
func refused(err, expected error) {
	that(errors.Is(err, expected), "%v, where %v was expected", err, expected)
}

func keysAndValues(ctx context.Context, c *clientv3.Client) {
	for index := range 10 {
		_, err := c.Put(ctx, fmt.Sprintf("key/%d", index), fmt.Sprintf("value %d", index))
		must(err)
	}
	one, err := c.Get(ctx, "key/3")
	must(err)
	that(one.Count == 1 && string(one.Kvs[0].Value) == "value 3" && one.Kvs[0].Version == 1, "%v", one)
	page, err := c.Get(ctx, "key/", clientv3.WithPrefix(), clientv3.WithLimit(3),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	must(err)
	that(page.Count == 10 && page.More && len(page.Kvs) == 3 && string(page.Kvs[0].Key) == "key/9", "%v", page)
	count, err := c.Get(ctx, "key/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	must(err)
	that(count.Count == 10 && len(count.Kvs) == 0, "%v", count)
	put, err := c.Put(ctx, "key/3", "other", clientv3.WithPrevKV())
	must(err)
	that(string(put.PrevKv.Value) == "value 3", "%v", put)
	past, err := c.Get(ctx, "key/3", clientv3.WithRev(put.Header.Revision-1), clientv3.WithSerializable())
	must(err)
	that(string(past.Kvs[0].Value) == "value 3", "%v", past)
	gone, err := c.Delete(ctx, "key/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	must(err)
	that(gone.Deleted == 10 && len(gone.PrevKvs) == 10, "%v", gone)
	large := string(bytes.Repeat([]byte{0, 0xff}, 500_000))
	_, err = c.Put(ctx, "large", large)
	must(err)
	back, err := c.Get(ctx, "large")
	must(err)
	that(string(back.Kvs[0].Value) == large, "the large value differs")
}

func transactions(ctx context.Context, c *clientv3.Client) {
	_, err := c.Put(ctx, "txn", "1")
	must(err)
	guarded := func() clientv3.Txn {
		return c.Txn(ctx).If(clientv3.Compare(clientv3.Value("txn"), "=", "1"),
			clientv3.Compare(clientv3.CreateRevision("absent"), "=", 0)).
			Then(clientv3.OpPut("txn", "2"), clientv3.OpGet("txn")).
			Else(clientv3.OpGet("txn"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpDelete("txn")}, nil))
	}
	answer, err := guarded().Commit()
	must(err)
	that(answer.Succeeded && string(answer.Responses[1].GetResponseRange().Kvs[0].Value) == "2", "%v", answer)
	answer, err = guarded().Commit()
	must(err)
	nested := answer.Responses[1].GetResponseTxn()
	that(!answer.Succeeded && nested.Responses[0].GetResponseDeleteRange().Deleted == 1, "%v", answer)
}

// take reads so many events of a watch.
func take(events clientv3.WatchChan, count int) []*clientv3.Event {
	var found []*clientv3.Event
	late := time.After(patience)
	for len(found) < count {
		select {
		case answer, open := <-events:
			that(open, "the watch ended after %d events", len(found))
			must(answer.Err())
			found = append(found, answer.Events...)
		case <-late:
			panic(fmt.Sprintf("%d of %d events", len(found), count))
		}
	}
	return found
}

func watches(ctx context.Context, c *clientv3.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := c.Put(ctx, "watch/a", "1")
	must(err)
	at := first.Header.Revision
	events := c.Watch(clientv3.WithRequireLeader(ctx), "watch/", clientv3.WithPrefix(), clientv3.WithRev(at),
		clientv3.WithPrevKV(), clientv3.WithFragment())
	_, err = c.Put(ctx, "watch/a", "2")
	must(err)
	_, err = c.Delete(ctx, "watch/a")
	must(err)
	_, err = c.Txn(ctx).Then(clientv3.OpPut("watched", "not here"), clientv3.OpPut("watch/b", "3")).Commit()
	must(err)
	found := take(events, 4)
	that(string(found[0].Kv.Value) == "1" && found[0].Kv.ModRevision == at && found[0].IsCreate(), "%v", found[0])
	that(string(found[1].Kv.Value) == "2" && string(found[1].PrevKv.Value) == "1", "%v", found[1])
	that(found[2].Type == mvccpb.Event_DELETE && string(found[2].PrevKv.Value) == "2", "%v", found[2])
	that(string(found[3].Kv.Key) == "watch/b" && found[3].Kv.ModRevision == at+3, "%v", found[3])
	must(c.RequestProgress(clientv3.WithRequireLeader(ctx)))
	answer := <-events
	that(answer.IsProgressNotify() && answer.Header.Revision == at+3, "%v", answer)
}

func leases(ctx context.Context, c *clientv3.Client) {
	lease, err := c.Grant(ctx, 300)
	must(err)
	_, err = c.Put(ctx, "leased/a", "1", clientv3.WithLease(lease.ID))
	must(err)
	left, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	must(err)
	that(left.GrantedTTL == 300 && len(left.Keys) == 1 && string(left.Keys[0]) == "leased/a", "%v", left)
	all, err := c.Leases(ctx)
	must(err)
	that(len(all.Leases) == 1 && all.Leases[0].ID == lease.ID, "%v", all)
	kept, err := c.KeepAliveOnce(ctx, lease.ID)
	must(err)
	that(kept.TTL == 300, "%v", kept)
	renewals, err := c.KeepAlive(ctx, lease.ID)
	must(err)
	that((<-renewals).ID == lease.ID, "no renewal")
	_, err = c.Revoke(ctx, lease.ID)
	must(err)
	gone, err := c.Get(ctx, "leased/a")
	must(err)
	that(gone.Count == 0, "%v", gone)
	_, err = c.Revoke(ctx, lease.ID)
	refused(err, rpctypes.ErrLeaseNotFound)
	_, err = c.KeepAliveOnce(ctx, lease.ID)
	refused(err, rpctypes.ErrLeaseNotFound)
	short, err := c.Grant(ctx, 1)
	must(err)
	events := c.Watch(ctx, "leased/b")
	_, err = c.Put(ctx, "leased/b", "1", clientv3.WithLease(short.ID))
	must(err)
	that(take(events, 2)[1].Type == mvccpb.Event_DELETE, "the key of an expired lease did not go")
	left, err = c.TimeToLive(ctx, short.ID)
	must(err)
	that(left.TTL == -1, "%v", left)
}

func compaction(ctx context.Context, c *clientv3.Client) {
	first, err := c.Put(ctx, "compacted", "1")
	must(err)
	last, err := c.Put(ctx, "compacted", "2")
	must(err)
	_, err = c.Compact(ctx, last.Header.Revision, clientv3.WithCompactPhysical())
	must(err)
	_, err = c.Get(ctx, "compacted", clientv3.WithRev(first.Header.Revision))
	refused(err, rpctypes.ErrCompacted)
	_, err = c.Get(ctx, "compacted", clientv3.WithRev(last.Header.Revision+1))
	refused(err, rpctypes.ErrFutureRev)
	_, err = c.Compact(ctx, last.Header.Revision)
	refused(err, rpctypes.ErrCompacted)
	answer := <-c.Watch(ctx, "compacted", clientv3.WithRev(first.Header.Revision))
	refused(answer.Err(), rpctypes.ErrCompacted)
	that(answer.CompactRevision == last.Header.Revision, "%v", answer)
}

func otherErrors(ctx context.Context, c *clientv3.Client) {
	_, err := c.Put(ctx, "", "x")
	refused(err, rpctypes.ErrEmptyKey)
	_, err = c.Txn(ctx).Then(clientv3.OpPut("k", "1"), clientv3.OpPut("k", "2")).Commit()
	refused(err, rpctypes.ErrDuplicateKey)
	_, err = c.Put(ctx, "k", string(make([]byte, 1_600_000)))
	refused(err, rpctypes.ErrRequestTooLarge)
	_, err = c.Put(ctx, "k", "v", clientv3.WithLease(12345))
	refused(err, rpctypes.ErrLeaseNotFound)
	many := make([]clientv3.Op, 200)
	for index := range many {
		many[index] = clientv3.OpGet("k")
	}
	_, err = c.Txn(ctx).Then(many...).Commit()
	refused(err, rpctypes.ErrTooManyOps)
}

func maintenance(ctx context.Context, c *clientv3.Client, endpoint string) {
	status, err := c.Status(ctx, endpoint)
	must(err)
	that(status.Version[:2] == "3." && status.Leader == status.Header.MemberId && status.DbSize > 0, "%v", status)
	members, err := c.MemberList(ctx)
	must(err)
	that(len(members.Members) == 1 && members.Members[0].Name == "one", "%v", members)
	hash, err := c.HashKV(ctx, endpoint, 0)
	must(err)
	that(hash.Hash != 0, "%v", hash)
	alarms, err := c.AlarmList(ctx)
	must(err)
	that(len(alarms.Alarms) == 0, "%v", alarms)
}

// turnedAway checks that a client without a certificate of its own gets nothing.
func turnedAway(ctx context.Context, endpoint, ca string) {
	files := transport.TLSInfo{TrustedCAFile: ca}
	config, err := files.ClientConfig()
	must(err)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: config})
	must(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err = c.Get(ctx, "x")
	that(err != nil, "a client without a certificate was served")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	config := clientv3.Config{Endpoints: os.Args[1:2], DialTimeout: patience}
	if len(os.Args) == 5 {
		files := transport.TLSInfo{TrustedCAFile: os.Args[2], CertFile: os.Args[3], KeyFile: os.Args[4]}
		var err error
		config.TLS, err = files.ClientConfig()
		must(err)
	}
	c, err := clientv3.New(config)
	must(err)
	defer c.Close()
	for _, check := range []func(context.Context, *clientv3.Client){
		keysAndValues, transactions, watches, leases, compaction, otherErrors,
	} {
		check(ctx, c)
	}
	maintenance(ctx, c, os.Args[1])
	if len(os.Args) == 5 {
		turnedAway(ctx, os.Args[1], os.Args[2])
	}
}
