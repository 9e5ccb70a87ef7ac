package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-go/countersign/gss/gsstest"
)

func TestMain(m *testing.M) {
	// A program built with -race sleeps for a second before it exits.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"gss-server": main})
}

// patience bounds every wait for another process. It is only reached when
// something is broken.
const patience = 30 * time.Second

func TestScripts(t *testing.T) {
	realm := newRealm(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("KRB5_CONFIG", realm.conf)
			env.Setenv("KRB5_KTNAME", realm.keytab)
			env.Setenv("KRB5RCACHEDIR", env.WorkDir)
			return nil
		},
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Condition: func(c string) (bool, error) { return c == "nats" && hasNATS, nil },
	})
}

// exits is the script command "exits CODE PROGRAM ARGUMENT...".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program argument...")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// A realm is an embedded one with its files on disk.
type realm struct {
	*gsstest.Realm
	conf, keytab string
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	r, err := gsstest.NewRealm(gsstest.Config{Name: "R.TEST"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(r.AddUser("alice", "secret"))
	check(r.AddService("host/localhost"))
	dir := t.TempDir()
	x := &realm{Realm: r, conf: filepath.Join(dir, "krb5.conf"), keytab: filepath.Join(dir, "service.keytab")}
	check(os.WriteFile(x.conf, r.Krb5Conf(), 0o600))
	keys, err := r.Keytab("host/localhost")
	check(err)
	check(os.WriteFile(x.keytab, keys, 0o600))
	return x
}

func (r *realm) env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+r.conf, "KRB5_KTNAME="+r.keytab, "KRB5RCACHEDIR="+filepath.Dir(r.conf))
}

// A process is our gss-server, running.
type process struct {
	cmd     *exec.Cmd
	address string // where it listens
	stdout  bytes.Buffer
	exited  chan struct{}
	err     error

	mu     sync.Mutex
	stderr bytes.Buffer
	news   chan struct{} // closed and replaced at every write to stderr
}

// start starts gss-server with --log-format json on a free port and returns when
// it is ready.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, env, append([]string{"--listen", "127.0.0.1:0", "--log-format", "json"}, args...)...)
	if !p.await(t, "starting...", 1) {
		t.Fatalf("gss-server ended: %v\n%s", p.err, p.errors())
	}
	p.address = fmt.Sprint(p.records(t, "listening")[0]["address"])
	return p
}

func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := prepare(t, env, append([]string{"gss-server"}, args...)...)
	p.run(t)
	return p
}

// prepare makes a process to run.
func prepare(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{}), news: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout = &p.stdout
	p.cmd.Stderr = p
	return p
}

// run starts the process; the test's end kills it.
func (p *process) run(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
	})
}

// Write takes what the process writes to standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.news)
	p.news = make(chan struct{})
	return p.stderr.Write(b)
}

// await waits until standard error holds the text so many times, and reports
// whether it does.
func (p *process) await(t *testing.T, text string, times int) bool {
	t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		found, news := strings.Count(p.stderr.String(), text) >= times, p.news
		p.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-news:
		case <-p.exited:
			return strings.Count(p.errors(), text) >= times
		case <-timeout:
			t.Fatalf("no %q after %s:\n%s", text, patience, p.errors())
		}
	}
}

func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// records are the log records with the message.
func (p *process) records(t *testing.T, msg string) []map[string]any {
	t.Helper()
	return records(t, p.errors(), msg)
}

func records(t *testing.T, log, msg string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(log) {
		var rec map[string]any
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("log line %q: %v", line, err)
			}
		}
		if rec["msg"] == msg {
			found = append(found, rec)
		}
	}
	return found
}

// wait waits for the process to end and gives its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("gss-server does not end:\n%s", p.errors())
	}
	return exitCode(t, p.err)
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// unauthenticated is a whole session without a context, and its answer.
const (
	unauthenticated       = "\x01\x00\x00\x00\x00\x04\x00\x00\x00\x05hello\x01\x00\x00\x00\x00"
	unauthenticatedAnswer = "\x01\x00\x00\x00\x00"
)

// talk has a whole session without a context over the connection.
func talk(t *testing.T, conn io.ReadWriteCloser) {
	t.Helper()
	if _, err := io.WriteString(conn, unauthenticated); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if string(got) != unauthenticatedAnswer || err != nil {
		t.Errorf("answered %q, %v", got, err)
	}
	_ = conn.Close()
}
