package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// many is the namespace with thousands of objects.
const many = "many"

func nameOf(index int) string { return fmt.Sprintf("object-%05d", index) }

func makeMany(ctx context.Context, w *world) error {
	at := w.cached.at(widgets, many)
	return each(64, w.options.objects, func(index int) error {
		labels := map[string]string{"tenth": fmt.Sprint(index % 10)}
		_, err := at.Create(ctx, widget(nameOf(index), int64(index), labels), metav1.CreateOptions{})
		return err
	})
}

// listing is what a run through all pages found.
type listing struct {
	revision string
	pages    int
	objects  []unstructured.Unstructured
}

// page asks for one page and checks what it says of the rest.
func (l *listing) page(ctx context.Context, at dynamic.ResourceInterface, limit int64, token string, total int) (string, error) {
	list, err := at.List(ctx, metav1.ListOptions{Limit: limit, Continue: token})
	if err != nil {
		return "", fmt.Errorf("page %d: %w", l.pages+1, err)
	}
	l.pages++
	l.objects = append(l.objects, list.Items...)
	if l.revision == "" {
		l.revision = list.GetResourceVersion()
	}
	if list.GetResourceVersion() != l.revision {
		return "", fmt.Errorf("page %d is of revision %s, the first of %s", l.pages, list.GetResourceVersion(), l.revision)
	}
	rest, remaining := total-len(l.objects), list.GetRemainingItemCount()
	switch {
	case rest == 0 && (remaining != nil || list.GetContinue() != ""):
		return "", fmt.Errorf("the last page promises more: %v, %q", remaining, list.GetContinue())
	case rest > 0 && (remaining == nil || *remaining != int64(rest)):
		return "", fmt.Errorf("after page %d there remain %d, told %v", l.pages, rest, told(remaining))
	case rest > 0 && len(list.Items) != int(limit):
		return "", fmt.Errorf("page %d has %d objects of %d", l.pages, len(list.Items), limit)
	}
	return list.GetContinue(), nil
}

func told(count *int64) string {
	if count == nil {
		return "nothing"
	}
	return fmt.Sprint(*count)
}

// whole checks that the names are those of all objects, in order.
func (l *listing) whole(total int) error {
	if len(l.objects) != total {
		return fmt.Errorf("%d objects of %d", len(l.objects), total)
	}
	for index := range l.objects {
		if name := l.objects[index].GetName(); name != nameOf(index) {
			return fmt.Errorf("%s stands where %s belongs", name, nameOf(index))
		}
	}
	return nil
}

// allPages lists the namespace page by page.
func allPages(ctx context.Context, server *apiServer, limit int64, total int) (*listing, error) {
	found := &listing{}
	for token := ""; ; {
		var err error
		if token, err = found.page(ctx, server.at(widgets, many), limit, token, total); err != nil {
			return nil, err
		}
		if token == "" {
			return found, found.whole(total)
		}
	}
}

func pagesFromStorage(ctx context.Context, w *world) error {
	return pagesOf(ctx, w.direct, w.options.objects)
}

func pagesFromCache(ctx context.Context, w *world) error {
	return pagesOf(ctx, w.cached, w.options.objects)
}

func pagesOf(ctx context.Context, server *apiServer, total int) error {
	for _, limit := range []int{500, 1237, total} {
		found, err := allPages(ctx, server, int64(limit), total)
		if err != nil {
			return fmt.Errorf("limit %d: %w", limit, err)
		}
		if found.pages != (total+limit-1)/limit {
			return fmt.Errorf("limit %d: %d pages", limit, found.pages)
		}
	}
	return nil
}

func pagesStay(ctx context.Context, w *world) error {
	total := w.options.objects
	for _, server := range []*apiServer{w.direct, w.cached} {
		at := server.at(widgets, many)
		found := &listing{}
		token, err := found.page(ctx, at, 500, "", total)
		if err != nil {
			return err
		}
		// Ahead of the next page one goes, one changes, and two come.
		last, changed := nameOf(total-1), nameOf(total-2)
		if err := at.Delete(ctx, last, metav1.DeleteOptions{}); err != nil {
			return err
		}
		object, err := at.Get(ctx, changed, metav1.GetOptions{})
		if err != nil {
			return err
		}
		setSize(object, -1)
		if object, err = at.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			return err
		}
		for _, name := range []string{"object-05000-more", "zzz"} {
			if _, err := at.Create(ctx, widget(name, 0, nil), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		for token != "" {
			if token, err = found.page(ctx, at, 500, token, total); err != nil {
				return err
			}
		}
		if err := found.whole(total); err != nil {
			return err
		}
		if size := sizeOf(&found.objects[total-2]); size != int64(total-2) {
			return fmt.Errorf("the pages show the later size %d", size)
		}
		if err := asBefore(ctx, at, object, total); err != nil {
			return err
		}
	}
	return nil
}

// asBefore undoes the changes of pagesStay.
func asBefore(ctx context.Context, at dynamic.ResourceInterface, changed *unstructured.Unstructured, total int) error {
	for _, name := range []string{"object-05000-more", "zzz"} {
		if err := at.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	setSize(changed, int64(total-2))
	if _, err := at.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	labels := map[string]string{"tenth": fmt.Sprint((total - 1) % 10)}
	_, err := at.Create(ctx, widget(nameOf(total-1), int64(total-1), labels), metav1.CreateOptions{})
	return err
}

func listVariants(ctx context.Context, w *world) error {
	total := w.options.objects
	for _, server := range []*apiServer{w.direct, w.cached} {
		at := server.at(widgets, many)
		tenth, err := at.List(ctx, metav1.ListOptions{LabelSelector: "tenth=3"})
		if err != nil {
			return err
		}
		if len(tenth.Items) != total/10 {
			return fmt.Errorf("%d objects with the label", len(tenth.Items))
		}
		// How many remain of a selection is not known, and must not be claimed.
		if tenth, err = at.List(ctx, metav1.ListOptions{LabelSelector: "tenth=3", Limit: 10}); err != nil {
			return err
		}
		if len(tenth.Items) != 10 || tenth.GetRemainingItemCount() != nil || tenth.GetContinue() == "" {
			return fmt.Errorf("a page of a selection has %d objects and %s remaining", len(tenth.Items), told(tenth.GetRemainingItemCount()))
		}
		before := tenth.GetResourceVersion()
		if err := at.Delete(ctx, nameOf(3), metav1.DeleteOptions{}); err != nil {
			return err
		}
		for match, expected := range map[metav1.ResourceVersionMatch]int{
			metav1.ResourceVersionMatchExact: total / 10, metav1.ResourceVersionMatchNotOlderThan: -1, "": total/10 - 1,
		} {
			options := metav1.ListOptions{LabelSelector: "tenth=3", ResourceVersion: before, ResourceVersionMatch: match}
			if match == "" {
				options.ResourceVersion = ""
			}
			list, err := at.List(ctx, options)
			if err != nil {
				return fmt.Errorf("%s: %w", match, err)
			}
			if expected >= 0 && len(list.Items) != expected {
				return fmt.Errorf("%q at %s: %d objects, not %d", match, before, len(list.Items), expected)
			}
			if revision(list.GetResourceVersion()) < revision(before) {
				return fmt.Errorf("%q at %s: revision %s", match, before, list.GetResourceVersion())
			}
		}
		again := widget(nameOf(3), 3, map[string]string{"tenth": "3"})
		if _, err := at.Create(ctx, again, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}
