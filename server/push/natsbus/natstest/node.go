package natstest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ports of a node.
const (
	clientPort = iota
	routePort
	monitorPort
	ports
)

// said are the lines by which a node tells its ports.
var said = [ports]*regexp.Regexp{
	clientPort:  regexp.MustCompile(`Listening for client connections on 127\.0\.0\.1:(\d+)`),
	routePort:   regexp.MustCompile(`Listening for route connections on 127\.0\.0\.1:(\d+)`),
	monitorPort: regexp.MustCompile(`Starting http monitor on 127\.0\.0\.1:(\d+)`),
}

// A Node is one NATS server.
type Node struct {
	t       testing.TB
	cluster *Cluster
	dir     string
	number  int
	config  []string
	to      []*route
	ports   [ports]int // zero until it was started

	mu  sync.Mutex
	run *process
}

// URL is where clients connect. It stays, whatever happens to the node.
func (n *Node) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.ports[clientPort]) }

// Start starts the node, again on the ports that it had. It waits until
// clients can connect, not for the cluster.
func (n *Node) Start() {
	n.t.Helper()
	conf := filepath.Join(n.dir, "nats.conf")
	if err := os.WriteFile(conf, []byte(n.configuration()), 0o600); err != nil {
		n.t.Fatal(err)
	}
	run, err := start(exec.Command(program(), "-c", conf))
	if err != nil {
		n.t.Fatalf("nats-server: %v", err)
	}
	n.t.Cleanup(run.kill)
	n.mu.Lock()
	n.run = run
	n.mu.Unlock()
	n.ports = run.out.ports
	for _, r := range n.cluster.routes {
		if r.to == n.number {
			r.lead(n.ports[routePort])
		}
	}
}

// Kill ends the node as a failure of its machine does, without a word to anybody.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.run.kill()
}

// Signal sends a signal to the node, such as SIGSTOP: a machine that hangs.
func (n *Node) Signal(s os.Signal) error { return n.run.cmd.Process.Signal(s) }

func (n *Node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run.running()
}

// configuration is the node's. No address is told to clients or other nodes
// but one where nobody is: they are to know each other by the test's routes only.
func (n *Node) configuration() string {
	port := func(p int) int {
		if n.ports[p] == 0 {
			return -1 // any
		}
		return n.ports[p]
	}
	var routes strings.Builder
	for _, r := range n.to {
		fmt.Fprintf(&routes, "nats-route://%s\n", r.address())
	}
	return fmt.Sprintf(`
server_name: "node%d"
listen: "127.0.0.1:%d"
http: "127.0.0.1:%d"
cluster {
  name: "test"
  listen: "127.0.0.1:%d"
  advertise: "127.0.0.1:1"
  no_advertise: true
  routes: [
%s  ]
}
%s
`, n.number, port(clientPort), port(monitorPort), port(routePort), &routes, strings.Join(n.config, "\n"))
}

// program is the path of nats-server, which mitrealm.Need has found.
func program() string {
	for _, name := range []string{"nats-server", "/usr/local/sbin/nats-server", "/usr/sbin/nats-server", "/sbin/nats-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return "nats-server"
}

// A process is a nats-server that runs, or did.
type process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
	leash  io.Closer
	once   sync.Once
}

// start starts a node and returns once it has said that it is ready.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, out: &output{ready: make(chan struct{})}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	// A shell ends the node when the test binary dies without cleaning up, as at
	// go test's timeout: its standard input ends then.
	watcher := exec.Command("sh", "-c", `read -r _ || kill -9 "$0"`, strconv.Itoa(cmd.Process.Pid))
	if stdin, err := watcher.StdinPipe(); err == nil && watcher.Start() == nil {
		p.leash = closer(func() error {
			io.WriteString(stdin, "ended\n")
			return watcher.Wait()
		})
	}
	select {
	case <-p.out.ready:
		return p, nil
	case <-p.exited:
	case <-time.After(readyTimeout):
	}
	p.kill()
	return nil, fmt.Errorf("not ready\n%s", p.out.text())
}

type closer func() error

func (c closer) Close() error { return c() }

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
	if p.leash != nil {
		p.once.Do(func() { p.leash.Close() })
	}
}

// output reads what a node says.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ports [ports]int
	ready chan struct{} // closed when the ports are known
	done  bool
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(b)
	if o.done {
		return len(b), nil
	}
	o.done = bytes.Contains(o.buf.Bytes(), []byte("Server is ready"))
	for i, pattern := range said {
		m := pattern.FindSubmatch(o.buf.Bytes())
		if m == nil {
			o.done = false
			break
		}
		o.ports[i], _ = strconv.Atoi(string(m[1]))
	}
	if o.done {
		close(o.ready)
	}
	return len(b), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
