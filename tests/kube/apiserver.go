package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	extensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	serveroptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/util/wait"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
)

// apiServer is an apiextensions server in this process.
type apiServer struct {
	config  *rest.Config
	objects dynamic.Interface
	kinds   clientset.Interface
	raw     rest.Interface
	stop    context.CancelFunc
	stopped chan struct{}
}

// nobody is a configuration of a client that is never used: the options want one to look authority up.
const nobody = `apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
users: [{name: none, user: {username: none, password: none}}]
`

// startAPIServer serves kinds from the storage at an address; with or without the watch cache.
func startAPIServer(ctx context.Context, directory, storage string, cached bool) (*apiServer, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	options, err := serverOptions(directory, storage, cached)
	if err != nil {
		return nil, err
	}
	config, err := options.Config()
	if err != nil {
		return nil, err
	}
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	config.GenericConfig.OpenAPIConfig =
		genericapiserver.DefaultOpenAPIConfig(definitions, openapinamer.NewDefinitionNamer(extensions.Scheme))
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	a := &apiServer{config: rest.CopyConfig(server.GenericAPIServer.LoopbackClientConfig), stop: stop}
	a.stopped = make(chan struct{})
	a.config.QPS = -1
	go func() {
		defer close(a.stopped)
		if err := server.GenericAPIServer.PrepareRun().RunWithContext(running); err != nil {
			fmt.Fprintln(os.Stderr, "kube: API server:", err)
		}
	}()
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, a.awaitReady(ctx)
}

func serverOptions(directory, storage string, cached bool) (*serveroptions.CustomResourceDefinitionsServerOptions, error) {
	client := filepath.Join(directory, "nobody.yaml")
	if err := os.WriteFile(client, []byte(nobody), 0o600); err != nil {
		return nil, err
	}
	options := serveroptions.NewCustomResourceDefinitionsServerOptions(os.Stderr, os.Stderr)
	// Two servers in one process must not share the registry of versions.
	registry := basecompatibility.NewComponentGlobalsRegistry()
	version := compatibility.DefaultKubeEffectiveVersionForTest()
	err := registry.Register(basecompatibility.DefaultKubeComponent, version, utilfeature.DefaultMutableFeatureGate.DeepCopy())
	if err != nil {
		return nil, err
	}
	options.ServerRunOptions.ComponentGlobalsRegistry = registry
	flags := pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
	options.AddFlags(flags)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serving := options.RecommendedOptions.SecureServing
	address := listener.Addr().(*net.TCPAddr)
	serving.Listener, serving.BindPort, serving.ExternalAddress = listener, address.Port, address.IP
	serving.ServerCert.CertDirectory = directory
	if err := options.APIEnablement.RuntimeConfig.Set("api/all=true"); err != nil {
		return nil, err
	}
	err = flags.Parse([]string{
		"--etcd-servers=" + storage,
		"--etcd-prefix=/registry",
		// Compaction is a check of its own.
		"--etcd-compaction-interval=0",
		fmt.Sprintf("--watch-cache=%v", cached),
		"--authentication-skip-lookup",
		"--authentication-kubeconfig=" + client,
		"--authorization-kubeconfig=" + client,
		"--kubeconfig=" + client,
		// What would ask a whole Kubernetes about each request.
		"--enable-priority-and-fairness=false",
		"--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook," +
			"ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
		"--max-requests-inflight=5000",
		"--max-mutating-requests-inflight=5000",
		"--http2-max-streams-per-connection=2000",
	})
	if err != nil {
		return nil, err
	}
	if err := registry.Set(); err != nil {
		return nil, err
	}
	if err := options.Complete(); err != nil {
		return nil, err
	}
	return options, options.Validate()
}

// open makes the clients.
func (a *apiServer) open() (err error) {
	if a.objects, err = dynamic.NewForConfig(a.config); err != nil {
		return err
	}
	kinds, err := clientset.NewForConfig(a.config)
	if err != nil {
		return err
	}
	a.kinds, a.raw = kinds, kinds.ApiextensionsV1().RESTClient()
	return nil
}

func (a *apiServer) awaitReady(ctx context.Context) error {
	last := "nothing heard"
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		// The informers of a whole Kubernetes have nobody to ask.
		text, err := a.get(ctx, "/readyz?exclude=informer-sync")
		if ctx.Err() == nil {
			last = fmt.Sprintf("%v: %s", err, text)
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not become ready: %w: %s", err, last)
	}
	return nil
}

// get asks for a path that is no object.
func (a *apiServer) get(ctx context.Context, path string) (string, error) {
	body, err := a.raw.Get().RequestURI(path).DoRaw(ctx)
	return string(body), err
}

func (a *apiServer) close() {
	a.stop()
	<-a.stopped
}
