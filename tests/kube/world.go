package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

const group = "ringbolt.example"

// widgets are written all the time, gadgets hardly ever.
var (
	widgets = schema.GroupVersionResource{Group: group, Version: "v1", Resource: "widgets"}
	gadgets = schema.GroupVersionResource{Group: group, Version: "v1", Resource: "gadgets"}
)

// world is one storage server with two API servers on it: one that answers from its watch cache, one that asks the
// storage each time.
type world struct {
	options   options
	directory string
	store     *backend
	etcd      *clientv3.Client
	cached    *apiServer
	direct    *apiServer
}

func newWorld(ctx context.Context, o options, directory string) (*world, error) {
	store, err := startBackend(ctx, o.server, directory)
	if err != nil {
		return nil, err
	}
	w := &world{options: o, directory: directory, store: store}
	if err := w.open(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) open(ctx context.Context) (err error) {
	if w.etcd, err = w.store.clientOf(); err != nil {
		return err
	}
	if w.cached, err = startAPIServer(ctx, filepath.Join(w.directory, "cached"), w.store.url(), true); err != nil {
		return err
	}
	w.direct, err = startAPIServer(ctx, filepath.Join(w.directory, "direct"), w.store.url(), false)
	return err
}

func (w *world) close() {
	for _, server := range []*apiServer{w.cached, w.direct} {
		if server != nil {
			server.close()
		}
	}
	if w.etcd != nil {
		w.etcd.Close()
	}
	w.store.kill()
}

// define makes a kind and waits until a server serves it.
func define(ctx context.Context, server *apiServer, resource schema.GroupVersionResource, kind string) error {
	number, text, object := "integer", "string", "object"
	fields := func(names map[string]string) apiextensionsv1.JSONSchemaProps {
		properties := map[string]apiextensionsv1.JSONSchemaProps{}
		for name, shape := range names {
			properties[name] = apiextensionsv1.JSONSchemaProps{Type: shape}
		}
		return apiextensionsv1.JSONSchemaProps{Type: object, Properties: properties}
	}
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: resource.Resource + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: resource.Resource, Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: resource.Version, Served: true, Storage: true,
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: object,
					Properties: map[string]apiextensionsv1.JSONSchemaProps{
						"spec":   fields(map[string]string{"size": number, "note": text}),
						"status": fields(map[string]string{"phase": text}),
					},
				}},
			}},
		},
	}
	if _, err := server.kinds.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, definition, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the definition: %w", err)
	}
	return awaitServed(ctx, server, resource)
}

// awaitServed waits until a server lists a kind.
func awaitServed(ctx context.Context, server *apiServer, resource schema.GroupVersionResource) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := server.objects.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s is not served: %w", resource.Resource, err)
	}
	return nil
}

// at gives the objects of a kind in a namespace.
func (a *apiServer) at(resource schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	return a.objects.Resource(resource).Namespace(namespace)
}

// widget makes an object that is not stored yet.
func widget(name string, size int64, labels map[string]string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1",
		"kind":       "Widget",
		"spec":       map[string]any{"size": size, "note": "a widget of some length, as objects have"},
	}}
	object.SetName(name)
	object.SetLabels(labels)
	return object
}

func sizeOf(object *unstructured.Unstructured) int64 {
	size, _, _ := unstructured.NestedInt64(object.Object, "spec", "size")
	return size
}

func setSize(object *unstructured.Unstructured, size int64) {
	if err := unstructured.SetNestedField(object.Object, size, "spec", "size"); err != nil {
		panic(err)
	}
}

// revision reads a resourceVersion, which is etcd's revision.
func revision(text string) int64 {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return number
}

// each runs work(0) to work(count-1) in so many goroutines and gives the first error.
func each(workers, count int, work func(int) error) error {
	next := make(chan int)
	first := make(chan error, 1)
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for index := range next {
				if err := work(index); err != nil {
					select {
					case first <- err:
					default:
					}
				}
			}
		}()
	}
	for index := range count {
		next <- index
	}
	close(next)
	group.Wait()
	select {
	case err := <-first:
		return err
	default:
		return nil
	}
}
