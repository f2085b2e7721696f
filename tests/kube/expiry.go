package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/utils/clock"
)

func expiredRevisions(ctx context.Context, w *world) error {
	at := w.direct.at(widgets, many)
	list, err := at.List(ctx, metav1.ListOptions{Limit: 100})
	if err != nil {
		return err
	}
	old := list.GetResourceVersion()
	made, err := w.direct.at(widgets, few).Create(ctx, widget("after", 0, nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	// A watch begins one behind its revision, and at the compacted revision itself it may.
	setSize(made, 1)
	if made, err = w.direct.at(widgets, few).Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if _, err := w.etcd.Compact(ctx, revision(made.GetResourceVersion())); err != nil {
		return err
	}
	_, err = at.List(ctx, metav1.ListOptions{ResourceVersion: old, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if !apierrors.IsResourceExpired(err) {
		return fmt.Errorf("a list at a compacted revision: %v", err)
	}
	_, err = at.List(ctx, metav1.ListOptions{Limit: 100, Continue: list.GetContinue()})
	if !apierrors.IsResourceExpired(err) {
		return fmt.Errorf("the next page of a compacted revision: %v", err)
	}
	// The refusal carries a token that goes on from there at the newest revision.
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != 410 || status.Status().Continue == "" {
		return fmt.Errorf("no way on from %v", err)
	}
	next, err := at.List(ctx, metav1.ListOptions{Limit: 100, Continue: status.Status().Continue})
	if err != nil {
		return fmt.Errorf("going on at the newest revision: %w", err)
	}
	if len(next.Items) != 100 || next.Items[0].GetName() != nameOf(100) || revision(next.GetResourceVersion()) < revision(made.GetResourceVersion()) {
		return fmt.Errorf("it went on with %d objects at %s", len(next.Items), next.GetResourceVersion())
	}
	if err := watchExpired(ctx, w.direct, old); err != nil {
		return err
	}
	// What is current is all there.
	found, err := allPages(ctx, w.direct, 1000, w.options.objects)
	if err != nil {
		return fmt.Errorf("after the compaction: %w", err)
	}
	return found.whole(w.options.objects)
}

// watchExpired checks that a watch from a compacted revision is told so, at once or as its first event.
func watchExpired(ctx context.Context, server *apiServer, old string) error {
	events, err := server.at(widgets, many).Watch(ctx, metav1.ListOptions{ResourceVersion: old})
	if err == nil {
		defer events.Stop()
		select {
		case event := <-events.ResultChan():
			if event.Type != watch.Error {
				return fmt.Errorf("a watch from a compacted revision got %v", event)
			}
			err = apierrors.FromObject(event.Object)
		case <-ctx.Done():
			return fmt.Errorf("a watch from a compacted revision hears nothing")
		}
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		return fmt.Errorf("a watch from a compacted revision: %v", err)
	}
	return nil
}

// compactorsAgree runs what two API servers run beside each other: each would compact, one does.
func compactorsAgree(ctx context.Context, w *world) error {
	made, err := w.direct.at(widgets, few).Create(ctx, widget("compacted", 0, nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	object := made
	target := revision(made.GetResourceVersion())
	other, err := w.store.clientOf()
	if err != nil {
		return err
	}
	defer other.Close()
	const interval = time.Second
	first := etcd3.NewCompactor(w.etcd, interval, clock.RealClock{}, nil)
	defer first.Stop()
	second := etcd3.NewCompactor(other, interval, clock.RealClock{}, nil)
	defer second.Stop()
	err = wait.PollUntilContextTimeout(ctx, interval/5, time.Minute, true, func(ctx context.Context) (bool, error) {
		setSize(object, sizeOf(object)+1)
		object, err = w.direct.at(widgets, few).Update(ctx, object, metav1.UpdateOptions{})
		if err != nil {
			return false, err
		}
		return first.CompactRevision() > target+1 && second.CompactRevision() > target+1, nil
	})
	if err != nil {
		return fmt.Errorf("compacted to %d and %d, not past %d: %w", first.CompactRevision(), second.CompactRevision(), target, err)
	}
	key, err := w.etcd.Get(ctx, "compact_rev_key")
	if err != nil {
		return err
	}
	if len(key.Kvs) != 1 {
		return fmt.Errorf("no compact_rev_key")
	}
	if at, err := strconv.ParseInt(string(key.Kvs[0].Value), 10, 64); err != nil || at <= target {
		return fmt.Errorf("compact_rev_key says %q", key.Kvs[0].Value)
	}
	if _, err := w.etcd.Get(ctx, "compact_rev_key", clientv3.WithRev(target)); !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("a read at revision %d: %v", target, err)
	}
	return watchExpired(ctx, w.direct, made.GetResourceVersion())
}
