package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// seen is one event of a watch.
type seen struct {
	kind     watch.EventType
	name     string
	revision int64
}

// changes is the namespace where watched changes are made.
const changes = "changes"

// makeChanges makes, changes and removes objects from several hands; it gives what each write was acknowledged with.
func makeChanges(ctx context.Context, server *apiServer, round string, objects int) ([]seen, error) {
	at := server.at(widgets, changes)
	var lock sync.Mutex
	var made []seen
	note := func(kind watch.EventType, object *unstructured.Unstructured) {
		lock.Lock()
		defer lock.Unlock()
		made = append(made, seen{kind, object.GetName(), revision(object.GetResourceVersion())})
	}
	err := each(10, objects, func(index int) error {
		object, err := at.Create(ctx, widget(fmt.Sprintf("%s-%d", round, index), 0, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		note(watch.Added, object)
		setSize(object, 1)
		if object, err = at.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			return err
		}
		note(watch.Modified, object)
		if index%2 == 1 {
			return nil
		}
		// A delete is answered without the revision it got.
		object.SetResourceVersion("0")
		note(watch.Deleted, object)
		return at.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
	})
	return made, err
}

// follow reads a watch until it has seen so many changes and, if wanted, a bookmark behind them.
func follow(ctx context.Context, events watch.Interface, count int, bookmark bool) ([]seen, error) {
	defer events.Stop()
	var found []seen
	last := int64(0)
	for {
		if !bookmark && len(found) == count {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("after %d of %d changes: %w", len(found), count, ctx.Err())
		case event, open := <-events.ResultChan():
			if !open {
				return nil, fmt.Errorf("it ended after %d of %d changes", len(found), count)
			}
			object, known := event.Object.(*unstructured.Unstructured)
			if !known || event.Type == watch.Error {
				return nil, fmt.Errorf("after %d changes: %v", len(found), event.Object)
			}
			at := revision(object.GetResourceVersion())
			if at < last || at == last && event.Type != watch.Bookmark {
				return nil, fmt.Errorf("%v at %d after %d", event.Type, at, last)
			}
			last = at
			if event.Type != watch.Bookmark {
				found = append(found, seen{event.Type, object.GetName(), at})
				continue
			}
			if len(found) < count {
				continue
			}
			return found, nil
		}
	}
}

// agree checks that a watch saw exactly what was acknowledged.
func agree(made, found []seen) error {
	if len(found) != len(made) {
		return fmt.Errorf("%d changes were made and %d seen", len(made), len(found))
	}
	expected := map[string]int64{}
	for _, change := range made {
		expected[fmt.Sprint(change.kind, change.name)] = change.revision
	}
	for _, change := range found {
		at, there := expected[fmt.Sprint(change.kind, change.name)]
		if !there {
			return fmt.Errorf("%v was never made, or seen twice", change)
		}
		if at != 0 && at != change.revision {
			return fmt.Errorf("%v was made at %d", change, at)
		}
		delete(expected, fmt.Sprint(change.kind, change.name))
	}
	return nil
}

func watchWithBookmark(ctx context.Context, w *world) error {
	list, err := w.cached.at(widgets, changes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	// A bookmark is sent two seconds before a watch's time is over.
	seconds := int64(10)
	options := metav1.ListOptions{
		ResourceVersion: list.GetResourceVersion(), AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	}
	events, err := w.cached.at(widgets, changes).Watch(ctx, options)
	if err != nil {
		return err
	}
	type outcome struct {
		found []seen
		err   error
	}
	const objects = 100
	followed := make(chan outcome, 1)
	go func() {
		found, err := follow(ctx, events, objects*5/2, true)
		followed <- outcome{found, err}
	}()
	made, err := makeChanges(ctx, w.direct, "bookmarked", objects)
	if err != nil {
		return err
	}
	result := <-followed
	if result.err != nil {
		return result.err
	}
	return agree(made, result.found)
}

func watchHistory(ctx context.Context, w *world) error {
	list, err := w.direct.at(widgets, changes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	const objects = 60
	made, err := makeChanges(ctx, w.cached, "past", objects)
	if err != nil {
		return err
	}
	for _, server := range []*apiServer{w.direct, w.cached} {
		events, err := server.at(widgets, changes).Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			return err
		}
		found, err := follow(ctx, events, objects*5/2, false)
		if err != nil {
			return err
		}
		if err := agree(made, found); err != nil {
			return err
		}
	}
	return nil
}

func watchSelection(ctx context.Context, w *world) error {
	for _, server := range []*apiServer{w.direct, w.cached} {
		at := server.at(widgets, "selected")
		list, err := at.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		events, err := at.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), LabelSelector: "in=yes"})
		if err != nil {
			return err
		}
		object, err := at.Create(ctx, widget("wanderer", 0, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		// In, changed while in, out, and gone while out.
		for step, label := range []string{"yes", "yes", "no"} {
			object.SetLabels(map[string]string{"in": label})
			setSize(object, int64(step))
			if object, err = at.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		if err := at.Delete(ctx, "wanderer", metav1.DeleteOptions{}); err != nil {
			return err
		}
		found, err := follow(ctx, events, 3, false)
		if err != nil {
			return err
		}
		for index, kind := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
			if found[index].kind != kind {
				return fmt.Errorf("the watch of a selection saw %v", found)
			}
		}
	}
	return nil
}

func watchInitialEvents(ctx context.Context, w *world) error {
	yes := true
	events, err := w.cached.at(widgets, many).Watch(ctx, metav1.ListOptions{
		SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		return err
	}
	defer events.Stop()
	names := map[string]bool{}
	for event := range events.ResultChan() {
		object, known := event.Object.(*unstructured.Unstructured)
		switch {
		case !known:
			return fmt.Errorf("after %d: %v", len(names), event.Object)
		case event.Type == watch.Added:
			names[object.GetName()] = true
		case event.Type == watch.Bookmark && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true":
			if len(names) != w.options.objects {
				return fmt.Errorf("%d initial objects", len(names))
			}
			return nil
		default:
			return fmt.Errorf("%v of %s among the initial ones", event.Type, object.GetName())
		}
	}
	return fmt.Errorf("it ended after %d", len(names))
}

// consistentReads counts the lists of a kind that the cache had to be fresh for, by how they ended.
func consistentReads(ctx context.Context, server *apiServer, resource string) (well, otherwise float64, err error) {
	metrics, err := server.get(ctx, "/metrics")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(metrics) {
		if !strings.Contains(line, "consistent_read_total{") || !strings.Contains(line, `resource="`+resource+`"`) {
			continue
		}
		fields := strings.Fields(line)
		count, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, 0, err
		}
		if strings.Contains(line, `success="true"`) && strings.Contains(line, `fallback="false"`) {
			well += count
		} else {
			otherwise += count
		}
	}
	return well, otherwise, nil
}

// idleKindKeepsUp asks for a consistent list of a kind that nobody writes: the watch cache may answer only once the
// storage has told it, by a progress notification, that it has seen everything.
func idleKindKeepsUp(ctx context.Context, w *world) error {
	const rounds = 5
	well, otherwise, err := consistentReads(ctx, w.cached, gadgets.Resource)
	if err != nil {
		return err
	}
	for round := range rounds {
		made, err := w.direct.at(widgets, few).Create(ctx, widget(fmt.Sprintf("beside-%d", round), 0, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		list, err := w.cached.at(gadgets, few).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if revision(list.GetResourceVersion()) < revision(made.GetResourceVersion()) {
			return fmt.Errorf("a list at %s after a write at %s", list.GetResourceVersion(), made.GetResourceVersion())
		}
	}
	wellNow, otherwiseNow, err := consistentReads(ctx, w.cached, gadgets.Resource)
	if err != nil {
		return err
	}
	if wellNow-well < rounds || otherwiseNow != otherwise {
		return fmt.Errorf("of %d lists %v came from the cache, %v went to storage or failed", rounds, wellNow-well, otherwiseNow-otherwise)
	}
	return nil
}
