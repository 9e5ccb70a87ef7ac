package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for another process. It is only reached when
// something is broken.
const patience = 30 * time.Second

// A follower is a program whose output is read line by line, each of JSON.
type follower struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	exited chan struct{}

	mu    sync.Mutex
	lines []map[string]any
	text  strings.Builder // what is no JSON
	news  chan struct{}   // closed and replaced with every line
}

// follow starts a program; its standard output and standard error are read. The
// test's end kills it.
func follow(t *testing.T, cmd *exec.Cmd) *follower {
	t.Helper()
	f := &follower{cmd: cmd, exited: make(chan struct{}), news: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	check(t, err)
	f.stdin = stdin
	r, w, err := os.Pipe()
	check(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	check(t, cmd.Start())
	check(t, w.Close())
	go func() {
		defer close(f.exited)
		f.read(r)
		_ = cmd.Wait() // its exit code is asked for
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-f.exited
	})
	return f
}

func (f *follower) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var line map[string]any
		err := json.Unmarshal(lines.Bytes(), &line)
		f.mu.Lock()
		if err == nil {
			f.lines = append(f.lines, line)
		} else {
			fmt.Fprintln(&f.text, lines.Text())
		}
		close(f.news)
		f.news = make(chan struct{})
		f.mu.Unlock()
	}
}

// want is what some fields of a line are to be. Numbers are written as JSON has them.
type want map[string]any

func (w want) matches(line map[string]any) bool {
	for field, value := range w {
		if fmt.Sprint(line[field]) != fmt.Sprint(value) {
			return false
		}
	}
	return true
}

// await waits for a line that is as wanted, and gives the first one.
func (f *follower) await(t *testing.T, w want) map[string]any {
	t.Helper()
	return f.awaitNth(t, w, 1)
}

func (f *follower) awaitNth(t *testing.T, w want, n int) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for over := false; ; {
		f.mu.Lock()
		found, news := f.find(w), f.news
		f.mu.Unlock()
		if len(found) >= n {
			return found[n-1]
		}
		if over {
			t.Fatalf("it ended without %v:\n%s", w, f.said())
		}
		select {
		case <-news:
		case <-f.exited:
			over = true
		case <-timeout:
			t.Fatalf("no %v after %v:\n%s", w, patience, f.said())
		}
	}
}

// all gives the lines that are as wanted, so far.
func (f *follower) all(w want) []map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.find(w)
}

func (f *follower) find(w want) []map[string]any {
	var found []map[string]any
	for _, line := range f.lines {
		if w.matches(line) {
			found = append(found, line)
		}
	}
	return found
}

// said is all that came.
func (f *follower) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, line := range f.lines {
		text, _ := json.Marshal(line)
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String() + f.text.String()
}

// do writes a line to its standard input.
func (f *follower) do(t *testing.T, line string) {
	t.Helper()
	_, err := io.WriteString(f.stdin, line+"\n")
	check(t, err)
}

// interrupt ends it as Ctrl-C does, and gives its exit code.
func (f *follower) interrupt(t *testing.T) int {
	t.Helper()
	check(t, f.cmd.Process.Signal(os.Interrupt))
	return f.wait(t)
}

func (f *follower) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-f.exited:
	case <-time.After(patience):
		t.Fatalf("%v does not end:\n%s", f.cmd.Args, f.said())
	}
	return f.cmd.ProcessState.ExitCode()
}
