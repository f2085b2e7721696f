// The Kubernetes API machinery on an etcd: an apiextensions server as a library, its watch cache, client-go's
// reflectors and watches, with the server underneath killed in the middle.
//
//	kube -server PATH                 every check; PASS or FAIL a line, a count at the end, the exit status says the rest
//	kube -server PATH -only NAME      the checks whose names match NAME
//	kube -server PATH -load           writers and watchers for some seconds; one line of JSON
//
// It does not know which server it has started: what holds for one holds for all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are what the command line said.
type options struct {
	server   string
	label    string
	only     string
	objects  int
	load     bool
	endpoint string
	pid      int
	writers  int
	watchers int
	seconds  int
}

func parse() options {
	var o options
	flag.StringVar(&o.server, "server", "", "the etcd server to start")
	flag.StringVar(&o.label, "label", "server", "what lines call it")
	flag.StringVar(&o.only, "only", "", "only the checks whose names match this regular expression")
	flag.IntVar(&o.objects, "objects", 10_000, "how many objects are listed in pages")
	flag.BoolVar(&o.load, "load", false, "load instead of checks")
	flag.StringVar(&o.endpoint, "endpoint", "", "load: a server that runs already, as a URL, instead of -server")
	flag.IntVar(&o.pid, "pid", 0, "load: the process of that server, to tell its CPU time")
	flag.IntVar(&o.writers, "writers", 200, "load: how many write at once")
	flag.IntVar(&o.watchers, "watchers", 20, "load: how many watch")
	flag.IntVar(&o.seconds, "seconds", 10, "load: for how long")
	flag.Parse()
	if o.server == "" && (!o.load || o.endpoint == "") {
		fmt.Fprintln(os.Stderr, "kube: -server PATH names the server to try")
		os.Exit(2)
	}
	return o
}

func main() {
	o := parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	directory, err := os.MkdirTemp("", "ringbolt-kube-")
	if err != nil {
		fmt.Println("kube: FAIL:", err)
		os.Exit(1)
	}
	well, err := run(ctx, o, directory)
	if err != nil {
		fmt.Println("kube: FAIL:", err)
	}
	if well && err == nil {
		os.RemoveAll(directory)
		return
	}
	fmt.Println("kube: logs and data are in", directory)
	os.Exit(1)
}

// run starts what is needed, and tells whether all went well.
func run(ctx context.Context, o options, directory string) (bool, error) {
	// The API servers speak of every lost connection; that belongs into a file.
	log, err := os.Create(filepath.Join(directory, "apiserver.log"))
	if err != nil {
		return false, err
	}
	defer log.Close()
	// So do etcd's client and others of their libraries, each in its way; what this program says goes to stdout.
	if err := syscall.Dup2(int(log.Fd()), int(os.Stderr.Fd())); err != nil {
		return false, err
	}
	if o.load {
		return true, runLoad(ctx, o, directory)
	}
	world, err := newWorld(ctx, o, directory)
	if err != nil {
		return false, err
	}
	defer world.close()
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return false, err
	}
	passed, failed := 0, 0
	for _, check := range checks() {
		if !wanted.MatchString(check.name) {
			continue
		}
		if world.carryOut(ctx, check) {
			passed++
		} else {
			failed++
		}
	}
	fmt.Printf("kube on %s: %d passed, %d failed\n", o.label, passed, failed)
	return failed == 0 && passed > 0, nil
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(context.Context, *world) error
}

// checks are all of them; later ones build on the objects that earlier ones made.
func checks() []check {
	return []check{
		{"definition: kinds are established and served", definitionServed},
		{"health: ready, with the storage's size in the metrics", healthAndMetrics},
		{"create: a second one is refused, what was made is read back", createOnce},
		{"update: guarded by the revision, a stale one is a conflict", updateGuarded},
		{"update: concurrent increments are all counted", incrementsCounted},
		{"update: status, patch and apply go through", otherWrites},
		{"delete: preconditions hold, finalizers delay", deleteGuarded},
		{"list: thousands of objects are made", makeMany},
		{"list: pages from storage with exact remaining counts", pagesFromStorage},
		{"list: pages through the watch cache with exact remaining counts", pagesFromCache},
		{"list: pages stay at their revision while objects change", pagesStay},
		{"list: selectors, exact and not-older revisions", listVariants},
		{"watch: every change in order, then a bookmark", watchWithBookmark},
		{"watch: history from a revision of storage", watchHistory},
		{"watch: what enters and leaves a selection", watchSelection},
		{"watch: initial events end with a bookmark", watchInitialEvents},
		{"watch: an idle kind keeps up with the store's revision", idleKindKeepsUp},
		{"expiry: compacted revisions answer 410", expiredRevisions},
		{"expiry: two compactors take turns and both see it", compactorsAgree},
		{"lease: objects with a time to live go by themselves", timeToLive},
		{"death: killed and restarted, nothing lost, watches resume", deaths},
	}
}

// carryOut runs a check and prints what came of it.
func (w *world) carryOut(ctx context.Context, c check) bool {
	limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	from := time.Now()
	err := c.run(limited, w)
	took := time.Since(from).Round(10 * time.Millisecond)
	if err != nil {
		fmt.Printf("FAIL %s: %s (%v): %v\n", w.options.label, c.name, took, err)
		return false
	}
	fmt.Printf("PASS %s: %s (%v)\n", w.options.label, c.name, took)
	return true
}
