package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ready is the line by which an etcd says that clients may come.
const ready = "ready to serve client requests"

// backend is the storage server, a child of this process.
type backend struct {
	program   string
	directory string
	client    string
	peer      string
	command   *exec.Cmd
	gone      chan struct{}
}

// startBackend starts a member with an empty data directory and waits until it serves.
func startBackend(ctx context.Context, program, directory string) (*backend, error) {
	client, err := freeAddress()
	if err != nil {
		return nil, err
	}
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	b := &backend{program: program, directory: directory, client: client, peer: peer}
	return b, b.start(ctx)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func (b *backend) url() string { return "http://" + b.client }

// start starts the program on the data that is there and waits for its line.
func (b *backend) start(ctx context.Context) error {
	peer := "http://" + b.peer
	command := exec.Command(b.program,
		"--name=one", "--data-dir="+filepath.Join(b.directory, "data"),
		"--listen-client-urls="+b.url(), "--advertise-client-urls="+b.url(),
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
		"--initial-cluster=one="+peer,
		// A single member waits for one election at each start.
		"--heartbeat-interval=10", "--election-timeout=100")
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "ETCD") {
			command.Env = append(command.Env, setting)
		}
	}
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(b.directory, "server.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	serves := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer log.Close()
		told := false
		lines := bufio.NewReader(output)
		for {
			line, err := lines.ReadString('\n')
			log.WriteString(line)
			if !told && strings.Contains(line, ready) {
				told = true
				close(serves)
			}
			if err != nil {
				break
			}
		}
		command.Wait()
	}()
	b.command, b.gone = command, gone
	select {
	case <-serves:
		return nil
	case <-gone:
		return fmt.Errorf("%s ended before it served; see %s", b.program, log.Name())
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not serve after a minute; see %s", b.program, log.Name())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends it with SIGKILL and waits until it is gone.
func (b *backend) kill() {
	b.command.Process.Kill()
	<-b.gone
}

// clientOf opens a client of etcd's own.
func (b *backend) clientOf() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{b.url()}, DialTimeout: 20 * time.Second})
}

// cpuOf tells how much CPU time a process has used, in microseconds.
func cpuOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in brackets may hold blanks; the two times are the 12th and 13th fields behind it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is short", pid)
	}
	ticks := int64(0)
	for _, field := range fields[11:13] {
		count, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += count
	}
	// Linux counts in hundredths of a second for user space.
	return ticks * 10_000, nil
}
