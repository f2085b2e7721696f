package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

const (
	dying   = "dying"
	counted = 24
	deathsN = 3
)

// ledger is what writers were told and what watches saw.
type ledger struct {
	lock sync.Mutex
	// acked: by name, the revision that each size was acknowledged at.
	acked map[string]map[int64]int64
	// events: by watch and name, the sizes and revisions in the order they came.
	events map[string]map[string][][2]int64
	broken error
	writes atomic.Int64
}

func (l *ledger) ack(object *unstructured.Unstructured) {
	l.lock.Lock()
	defer l.lock.Unlock()
	sizes := l.acked[object.GetName()]
	if sizes == nil {
		sizes = map[int64]int64{}
		l.acked[object.GetName()] = sizes
	}
	sizes[sizeOf(object)] = revision(object.GetResourceVersion())
	l.writes.Add(1)
}

func (l *ledger) saw(watcher string, event watch.Event) {
	l.lock.Lock()
	defer l.lock.Unlock()
	object, known := event.Object.(*unstructured.Unstructured)
	if !known || event.Type != watch.Modified && event.Type != watch.Added {
		if event.Type != watch.Bookmark && l.broken == nil {
			l.broken = fmt.Errorf("%s got %v %v", watcher, event.Type, event.Object)
		}
		return
	}
	names := l.events[watcher]
	if names == nil {
		names = map[string][][2]int64{}
		l.events[watcher] = names
	}
	entry := [2]int64{sizeOf(object), revision(object.GetResourceVersion())}
	names[object.GetName()] = append(names[object.GetName()], entry)
}

// reached tells whether a watch has seen every object at its last revision.
func (l *ledger) reached(watcher string, last map[string]int64) bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.broken != nil {
		return true
	}
	for name, at := range last {
		entries := l.events[watcher][name]
		if len(entries) == 0 || entries[len(entries)-1][1] != at {
			return false
		}
	}
	return true
}

// deaths writes, watches, and kills the server three times meanwhile.
func deaths(ctx context.Context, w *world) error {
	events, err := openPassing(w.store.url())
	if err != nil {
		return err
	}
	defer events.destroy()
	for name, seconds := range map[string]uint64{"ends": 4, "endures": 0} {
		if err := events.make(ctx, name, seconds); err != nil {
			return err
		}
	}
	book := &ledger{acked: map[string]map[int64]int64{}, events: map[string]map[string][][2]int64{}}
	for index := range counted {
		object, err := w.direct.at(widgets, dying).Create(ctx, widget(nameOf(index), 0, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		book.ack(object)
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	store, err := startWatchers(watching, w, book)
	if err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for index := range counted {
		writers.Add(1)
		go func() {
			defer writers.Done()
			server := []*apiServer{w.direct, w.cached}[index%2]
			keepIncrementing(ctx, writing, server.at(widgets, dying), nameOf(index), book)
		}()
	}
	err = killAndRestart(ctx, w, book)
	stopWriting()
	writers.Wait()
	if err != nil {
		return err
	}
	if err := settle(ctx, w, book, store); err != nil {
		return err
	}
	return afterwards(ctx, w)
}

// keepIncrementing adds one at a time, guarded by the revision; what was not acknowledged is read again.
// It leaves when writing ends, between two requests: one that is given up may still be carried out by the API server,
// after the list that the watches are judged by.
func keepIncrementing(ctx, writing context.Context, at dynamic.ResourceInterface, name string, book *ledger) {
	for writing.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		object, err := at.Get(limited, name, metav1.GetOptions{})
		if err == nil {
			setSize(object, sizeOf(object)+1)
			object, err = at.Update(limited, object, metav1.UpdateOptions{})
		}
		cancel()
		if err == nil {
			book.ack(object)
			continue
		}
		select {
		case <-writing.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// startWatchers follows the objects by a watch of each server that resumes from its last revision, and by an informer.
func startWatchers(ctx context.Context, w *world, book *ledger) (cache.Store, error) {
	for name, server := range map[string]*apiServer{"direct": w.direct, "cached": w.cached} {
		at := server.at(widgets, dying)
		list, err := at.List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return at.Watch(ctx, options)
		}}
		resuming, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source)
		if err != nil {
			return nil, err
		}
		go func() {
			for event := range resuming.ResultChan() {
				book.saw(name, event)
			}
		}()
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(w.cached.objects, 0, dying, nil)
	informer := factory.ForResource(widgets).Informer()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("the informer does not come to know the objects: %w", ctx.Err())
	}
	return informer.GetStore(), nil
}

// killAndRestart lets some writes through, kills, restarts, and does so again.
func killAndRestart(ctx context.Context, w *world, book *ledger) error {
	enough := func(text string) error {
		until := book.writes.Load() + 150
		err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return book.writes.Load() >= until, nil
		})
		if err != nil {
			return fmt.Errorf("writes %s: %w", text, err)
		}
		return nil
	}
	for death := range deathsN {
		if err := enough(fmt.Sprintf("before death %d", death+1)); err != nil {
			return err
		}
		w.store.kill()
		if err := w.store.start(ctx); err != nil {
			return err
		}
	}
	return enough("after the last death")
}

// settle checks what is stored and what was seen against what was acknowledged.
func settle(ctx context.Context, w *world, book *ledger, store cache.Store) error {
	list, err := w.direct.at(widgets, dying).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(list.Items) != counted {
		return fmt.Errorf("%d objects of %d", len(list.Items), counted)
	}
	last := map[string]int64{}
	for index := range list.Items {
		object := &list.Items[index]
		last[object.GetName()] = revision(object.GetResourceVersion())
		for size := range book.acked[object.GetName()] {
			if size > sizeOf(object) {
				return fmt.Errorf("%s was acknowledged at size %d and is %d", object.GetName(), size, sizeOf(object))
			}
		}
	}
	for _, watcher := range []string{"direct", "cached"} {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return book.reached(watcher, last), nil
		})
		if err != nil {
			return fmt.Errorf("the %s watch does not come to the last revisions: %w", watcher, err)
		}
		if err := book.sound(watcher); err != nil {
			return err
		}
	}
	return informed(ctx, store, last)
}

// sound checks that a watch saw each size once and in order, at the revision that its writer was told.
func (l *ledger) sound(watcher string) error {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.broken != nil {
		return l.broken
	}
	for name, entries := range l.events[watcher] {
		for index, entry := range entries {
			if entry[0] != int64(index)+1 {
				return fmt.Errorf("the %s watch of %s saw size %d where %d comes", watcher, name, entry[0], index+1)
			}
			if at, told := l.acked[name][entry[0]]; told && at != entry[1] {
				return fmt.Errorf("%s got size %d at %d, the %s watch saw it at %d", name, entry[0], at, watcher, entry[1])
			}
		}
	}
	return nil
}

// informed waits until an informer's store shows every object at its last revision.
func informed(ctx context.Context, store cache.Store, last map[string]int64) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		for name, at := range last {
			found, there, err := store.GetByKey(dying + "/" + name)
			if err != nil || !there {
				return false, err
			}
			object, known := found.(runtime.Object).(*unstructured.Unstructured)
			if !known || revision(object.GetResourceVersion()) != at {
				return false, nil
			}
		}
		return len(store.List()) == len(last), nil
	})
	if err != nil {
		return fmt.Errorf("the informer does not come to the last revisions: %w", err)
	}
	return nil
}

// afterwards checks that what was there before the deaths is there, and that a time to live still ends.
func afterwards(ctx context.Context, w *world) error {
	if err := w.cached.awaitReady(ctx); err != nil {
		return err
	}
	for _, server := range []*apiServer{w.direct, w.cached} {
		if _, err := allPages(ctx, server, 2000, w.options.objects); err != nil {
			return fmt.Errorf("objects of before: %w", err)
		}
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		found, err := w.etcd.Get(ctx, "/registry"+passingPrefix+"ends")
		return err == nil && len(found.Kvs) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("a time to live does not end after a restart: %w", err)
	}
	found, err := w.etcd.Get(ctx, "/registry"+passingPrefix+"endures")
	if err != nil || len(found.Kvs) != 1 {
		return fmt.Errorf("an object without a time to live: %v, %w", found, err)
	}
	return nil
}
