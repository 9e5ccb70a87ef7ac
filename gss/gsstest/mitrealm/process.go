package mitrealm

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A process is a program in the background whose output is collected.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once err is set
	err    error         // of Wait

	mu     sync.Mutex
	output bytes.Buffer
	ready  string // text awaited
	seen   chan struct{}

	releaseOnce sync.Once
	release     func()
}

// start starts cmd and returns once it has printed ready on standard output or
// standard error.
func start(cmd *exec.Cmd, ready string) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{}), ready: ready, seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.leash()
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-p.seen:
		return p, nil
	case <-p.exited:
		p.stop()
		return nil, fmt.Errorf("ended before it was ready: %v\n%s", p.err, p.text())
	case <-timeout.C:
		p.stop()
		return nil, fmt.Errorf("not ready after %v\n%s", readyTimeout, p.text())
	}
}

// leash has a shell end the process when the test binary dies without
// running its cleanups, as it does at go test's timeout: the shell's standard
// input ends then.
func (p *process) leash() {
	watcher := exec.Command("sh", "-c", `read -r _ || kill -9 "$0"`, strconv.Itoa(p.cmd.Process.Pid))
	stdin, err := watcher.StdinPipe()
	if err == nil {
		err = watcher.Start()
	}
	if err != nil {
		p.release = func() {} // cleanups still end it
		return
	}
	p.release = func() {
		io.WriteString(stdin, "ended\n")
		watcher.Wait()
	}
}

// stop ends the process if it still runs, and waits until it is gone.
func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.exited
	p.releaseOnce.Do(p.release)
}

// Write collects output. It is called by the goroutines of os/exec.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	if p.ready != "" && strings.Contains(p.output.String(), p.ready) {
		p.ready = ""
		close(p.seen)
	}
	return len(b), nil
}

// text is everything printed so far.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}
