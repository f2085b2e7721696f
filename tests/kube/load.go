package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// result is the line of JSON that a load ends with.
type result struct {
	Writers         int     `json:"writers"`
	Watchers        int     `json:"watchers"`
	Seconds         float64 `json:"seconds"`
	Changes         int64   `json:"changes"`
	ChangesPerS     float64 `json:"changes_per_s"`
	Errors          int64   `json:"errors"`
	Events          int64   `json:"events"`
	StorageCPU      float64 `json:"storage_cpu_s,omitempty"`
	StorageCPUMicro float64 `json:"storage_cpu_us_per_change,omitempty"`
}

// counters are what the hands of a load add up.
type counters struct{ changes, errors, events atomic.Int64 }

func (c *counters) read() [3]int64 {
	return [3]int64{c.changes.Load(), c.errors.Load(), c.events.Load()}
}

// warmup is for a new kind to settle: its definition's status changes some times, and each time its watches end.
const warmup = 4 * time.Second

// runLoad has writers make, change and remove objects for some seconds while watchers look on through the watch cache.
func runLoad(ctx context.Context, o options, directory string) error {
	endpoint, pid := o.endpoint, o.pid
	if endpoint == "" {
		store, err := startBackend(ctx, o.server, directory)
		if err != nil {
			return err
		}
		defer store.kill()
		endpoint, pid = store.url(), store.command.Process.Pid
	}
	server, err := startAPIServer(ctx, filepath.Join(directory, "cached"), endpoint, true)
	if err != nil {
		return err
	}
	defer server.close()
	if err := define(ctx, server, widgets, "Widget"); err != nil {
		return err
	}
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	var count counters
	var hands sync.WaitGroup
	for range o.watchers {
		hands.Add(1)
		go func() {
			defer hands.Done()
			look(loaded, server.at(widgets, "load"), &count)
		}()
	}
	until, cancel := context.WithTimeout(loaded, warmup+time.Duration(o.seconds)*time.Second)
	defer cancel()
	var writers sync.WaitGroup
	for hand := range o.writers {
		writers.Add(1)
		go func() {
			defer writers.Done()
			write(until, server.at(widgets, "load"), hand, &count)
		}()
	}
	select {
	case <-time.After(warmup):
	case <-ctx.Done():
		return ctx.Err()
	}
	before, _ := cpuOf(pid)
	from, early := time.Now(), count.read()
	writers.Wait()
	took := time.Since(from).Seconds()
	after, cpuError := cpuOf(pid)
	late := count.read()
	stop()
	hands.Wait()
	r := result{
		Writers: o.writers, Watchers: o.watchers, Seconds: took, Changes: late[0] - early[0],
		Errors: late[1] - early[1], Events: late[2] - early[2],
	}
	r.ChangesPerS = float64(r.Changes) / took
	if cpuError == nil && r.Changes > 0 {
		r.StorageCPU = float64(after-before) / 1e6
		r.StorageCPUMicro = float64(after-before) / float64(r.Changes)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	if r.Changes == 0 {
		return fmt.Errorf("nothing was changed")
	}
	return nil
}

// look watches, and begins anew when a watch ends: that happens when the kind's definition changes, as it does a
// moment after it was made.
func look(ctx context.Context, at dynamic.ResourceInterface, count *counters) {
	for ctx.Err() == nil {
		events, err := at.Watch(ctx, metav1.ListOptions{})
		if err != nil {
			count.errors.Add(1)
			continue
		}
		for event := range events.ResultChan() {
			if event.Type != watch.Bookmark {
				count.events.Add(1)
			}
		}
	}
}

// write makes an object, updates it eight times and removes it, again and again, as controllers do with pods.
func write(ctx context.Context, at dynamic.ResourceInterface, hand int, count *counters) {
	note := func(err error) bool {
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			count.errors.Add(1)
			return false
		}
		count.changes.Add(1)
		return true
	}
	for round := 0; ctx.Err() == nil; round++ {
		object, err := at.Create(ctx, widget(fmt.Sprintf("hand-%d-%d", hand, round), 0, nil), metav1.CreateOptions{})
		if !note(err) {
			continue
		}
		for size := int64(1); size <= 8; size++ {
			setSize(object, size)
			changed, err := at.Update(ctx, object, metav1.UpdateOptions{})
			if !note(err) {
				break
			}
			object = changed
		}
		note(at.Delete(ctx, object.GetName(), metav1.DeleteOptions{}))
	}
}
