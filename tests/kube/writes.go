package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
)

// few is the namespace of the checks that need a handful of objects.
const few = "few"

func definitionServed(ctx context.Context, w *world) error {
	if err := define(ctx, w.cached, widgets, "Widget"); err != nil {
		return err
	}
	if err := define(ctx, w.cached, gadgets, "Gadget"); err != nil {
		return err
	}
	// The other server learns of them from storage alone.
	if err := awaitServed(ctx, w.direct, widgets); err != nil {
		return err
	}
	return awaitServed(ctx, w.direct, gadgets)
}

func healthAndMetrics(ctx context.Context, w *world) error {
	for _, path := range []string{"/healthz/etcd", "/readyz/etcd-readiness", "/livez"} {
		if text, err := w.cached.get(ctx, path); err != nil {
			return fmt.Errorf("%s: %q: %w", path, text, err)
		}
	}
	metrics, err := w.cached.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "apiserver_storage_size_bytes{") {
			if strings.HasSuffix(line, " 0\n") || strings.Contains(line, " -") {
				return fmt.Errorf("the size is not told: %s", line)
			}
			return nil
		}
	}
	return fmt.Errorf("no apiserver_storage_size_bytes in the metrics")
}

func createOnce(ctx context.Context, w *world) error {
	for name, server := range map[string]*apiServer{"cached": w.cached, "direct": w.direct} {
		made, err := server.at(widgets, few).Create(ctx, widget(name, 1, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if _, err := server.at(widgets, few).Create(ctx, widget(name, 2, nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("a second %s: %v", name, err)
		}
		for _, reader := range []*apiServer{w.cached, w.direct} {
			read, err := reader.at(widgets, few).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if read.GetResourceVersion() != made.GetResourceVersion() || sizeOf(read) != 1 || read.GetUID() != made.GetUID() {
				return fmt.Errorf("%s was made as %v and read as %v", name, made, read)
			}
		}
	}
	if _, err := w.direct.at(widgets, few).Get(ctx, "nobody", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("an object that is not there: %v", err)
	}
	return nil
}

func updateGuarded(ctx context.Context, w *world) error {
	at := w.direct.at(widgets, few)
	first, err := at.Create(ctx, widget("guarded", 1, nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	changed := first.DeepCopy()
	setSize(changed, 2)
	second, err := at.Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if revision(second.GetResourceVersion()) <= revision(first.GetResourceVersion()) {
		return fmt.Errorf("revision %s after %s", second.GetResourceVersion(), first.GetResourceVersion())
	}
	stale := first.DeepCopy()
	setSize(stale, 3)
	if _, err := at.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("an update of an old revision: %v", err)
	}
	// One without a change writes nothing.
	same, err := at.Update(ctx, second, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if same.GetResourceVersion() != second.GetResourceVersion() {
		return fmt.Errorf("an update without a change went from %s to %s", second.GetResourceVersion(), same.GetResourceVersion())
	}
	gone := first.DeepCopy()
	gone.SetName("never-made")
	if _, err := at.Update(ctx, gone, metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("an update of what is not there: %v", err)
	}
	return nil
}

func incrementsCounted(ctx context.Context, w *world) error {
	const hands, times = 12, 20
	servers := []*apiServer{w.cached, w.direct}
	if _, err := w.direct.at(widgets, few).Create(ctx, widget("counter", 0, nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	var lock sync.Mutex
	seen := map[string]int64{}
	patient := wait.Backoff{Steps: 1000, Duration: 5 * time.Millisecond, Factor: 1, Jitter: 1}
	err := each(hands, hands*times, func(index int) error {
		at := servers[index%2].at(widgets, few)
		return retry.RetryOnConflict(patient, func() error {
			object, err := at.Get(ctx, "counter", metav1.GetOptions{})
			if err != nil {
				return err
			}
			setSize(object, sizeOf(object)+1)
			object, err = at.Update(ctx, object, metav1.UpdateOptions{})
			if err != nil {
				return err
			}
			lock.Lock()
			defer lock.Unlock()
			if other, twice := seen[object.GetResourceVersion()]; twice {
				return fmt.Errorf("sizes %d and %d at revision %s", other, sizeOf(object), object.GetResourceVersion())
			}
			seen[object.GetResourceVersion()] = sizeOf(object)
			return nil
		})
	})
	if err != nil {
		return err
	}
	object, err := w.direct.at(widgets, few).Get(ctx, "counter", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if sizeOf(object) != hands*times || len(seen) != hands*times {
		return fmt.Errorf("%d increments at %d revisions came to %d", hands*times, len(seen), sizeOf(object))
	}
	return nil
}

func otherWrites(ctx context.Context, w *world) error {
	at := w.cached.at(widgets, few)
	object, err := at.Create(ctx, widget("patched", 1, nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedField(object.Object, "Ready", "status", "phase"); err != nil {
		return err
	}
	if object, err = at.UpdateStatus(ctx, object, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	object, err = at.Patch(ctx, "patched", types.MergePatchType, []byte(`{"spec":{"size":5}}`), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	applied := widget("patched", 7, map[string]string{"applied": "yes"})
	if object, err = at.Apply(ctx, "patched", applied, metav1.ApplyOptions{FieldManager: "kube-check", Force: true}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	if sizeOf(object) != 7 || phase != "Ready" || object.GetLabels()["applied"] != "yes" {
		return fmt.Errorf("it came to %v", object)
	}
	return nil
}

func deleteGuarded(ctx context.Context, w *world) error {
	at := w.direct.at(widgets, few)
	object := widget("kept", 1, nil)
	object.SetFinalizers([]string{group + "/wait"})
	object, err := at.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	other, old := types.UID("another"), "1"
	for _, precondition := range []*metav1.Preconditions{{UID: &other}, {ResourceVersion: &old}} {
		if err := at.Delete(ctx, "kept", metav1.DeleteOptions{Preconditions: precondition}); !apierrors.IsConflict(err) {
			return fmt.Errorf("a delete with %v: %v", precondition, err)
		}
	}
	uid := object.GetUID()
	if err := at.Delete(ctx, "kept", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); err != nil {
		return err
	}
	if object, err = at.Get(ctx, "kept", metav1.GetOptions{}); err != nil || object.GetDeletionTimestamp() == nil {
		return fmt.Errorf("with a finalizer: %v, %w", object, err)
	}
	object.SetFinalizers(nil)
	if _, err := at.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if _, err := at.Get(ctx, "kept", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("without its finalizer: %v", err)
	}
	if err := at.Delete(ctx, "kept", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleted twice: %v", err)
	}
	return nil
}
