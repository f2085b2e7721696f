package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
)

// passing is what has a time to live: no kind of an extensions server has one, so it is stored as events of
// Kubernetes are, through the storage layer itself.
type passing struct {
	storage.Interface
	destroy factory.DestroyFunc
}

const passingPrefix = "/passing/"

func openPassing(url string) (*passing, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{example.AddToScheme, examplev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	codec := serializer.NewCodecFactory(scheme).LegacyCodec(examplev1.SchemeGroupVersion)
	config := storagebackend.NewDefaultConfig("/registry", codec)
	config.Transport.ServerList = []string{url}
	config.CompactionInterval = 0
	one := func() runtime.Object { return &example.Pod{} }
	list := func() runtime.Object { return &example.PodList{} }
	resource := schema.GroupResource{Resource: "passing"}
	interfaceOf, destroy, err := factory.Create(*config.ForResource(resource), one, list, passingPrefix)
	if err != nil {
		return nil, err
	}
	return &passing{interfaceOf, destroy}, nil
}

func (p *passing) make(ctx context.Context, name string, seconds uint64) error {
	pod := &example.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kind": "event"}}}
	return p.Create(ctx, passingPrefix+name, pod, &example.Pod{}, seconds)
}

// leaseOf tells which lease an object hangs on.
func leaseOf(ctx context.Context, etcd *clientv3.Client, name string) (clientv3.LeaseID, error) {
	found, err := etcd.Get(ctx, "/registry"+passingPrefix+name)
	if err != nil {
		return 0, err
	}
	if len(found.Kvs) != 1 {
		return 0, fmt.Errorf("%s is stored %d times", name, len(found.Kvs))
	}
	return clientv3.LeaseID(found.Kvs[0].Lease), nil
}

func timeToLive(ctx context.Context, w *world) error {
	events, err := openPassing(w.store.url())
	if err != nil {
		return err
	}
	defer events.destroy()
	watching, err := events.Watch(ctx, passingPrefix, storage.ListOptions{Predicate: storage.Everything, Recursive: true})
	if err != nil {
		return err
	}
	defer watching.Stop()
	const count, seconds = 50, 3
	var made time.Time
	for index := range count {
		made = time.Now()
		if err := events.make(ctx, nameOf(index), seconds); err != nil {
			return err
		}
	}
	if err := events.make(ctx, "stays", 0); err != nil {
		return err
	}
	lease, err := leaseOf(ctx, w.etcd, nameOf(count-1))
	if err != nil {
		return err
	}
	left, err := w.etcd.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
	if err != nil {
		return err
	}
	if left.GrantedTTL != seconds || left.TTL < 0 || left.TTL > seconds || len(left.Keys) == 0 {
		return fmt.Errorf("its lease: %+v", left)
	}
	if err := awaitGone(ctx, watching, count); err != nil {
		return err
	}
	// It takes a moment longer than the time that was given, never a shorter one.
	if lived := time.Since(made); lived < seconds*time.Second {
		return fmt.Errorf("gone after %v", lived)
	}
	if left, err = w.etcd.TimeToLive(ctx, lease); err != nil || left.TTL != -1 {
		return fmt.Errorf("its lease afterwards: %+v, %w", left, err)
	}
	return events.Get(ctx, passingPrefix+"stays", storage.GetOptions{}, &example.Pod{})
}

// awaitGone reads a watch until so many objects came and went.
func awaitGone(ctx context.Context, watching watch.Interface, count int) error {
	came, went := map[string]bool{}, map[string]bool{}
	for len(went) < count {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d came and %d went of %d: %w", len(came), len(went), count, ctx.Err())
		case event, open := <-watching.ResultChan():
			if !open {
				return errors.New("the watch ended")
			}
			pod, known := event.Object.(*example.Pod)
			if !known {
				return fmt.Errorf("the watch got %v", event)
			}
			switch event.Type {
			case watch.Added:
				came[pod.Name] = true
			case watch.Deleted:
				// The event of a deletion shows what the object was, which storage tells as the previous value.
				if !came[pod.Name] || went[pod.Name] || pod.Labels["kind"] != "event" {
					return fmt.Errorf("%v goes", pod)
				}
				went[pod.Name] = true
			default:
				return fmt.Errorf("%v of %s", event.Type, pod.Name)
			}
		}
	}
	return nil
}
