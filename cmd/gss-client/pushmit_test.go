//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/testdata/pki"
)

// serverProgram builds this module's gss-server.
func serverProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gss-server.exe")
	buildServer(t, path, "")
	return path
}

func buildServer(t *testing.T, path, tags string) {
	t.Helper()
	if out, err := exec.Command("go", "build", "-tags="+tags, "-o", path, "../gss-server").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// A pushScene is a realm of MIT's with this module's gss-server in it.
type pushScene struct {
	realm   *mitrealm.Realm
	certs   *pki.PKI
	program string // gss-server
	policy  string // its file
	server  *follower
	tcp     string // URLs of the push listeners
	tls     string
	sign    string // of the sign listener
}

const tutorialPolicy = `# The tutorial's groups 1 and 2 are on the command line.
group 3 "Management Department"
read    1,2,3 *@MIT.TEST
publish 1,2   *@MIT.TEST
arrive  1,3   *@MIT.TEST
`

// newPushScene starts a server with three groups and three services, of which
// two are push.
func newPushScene(t *testing.T, users map[string]string) *pushScene {
	t.Helper()
	s := &pushScene{realm: mitrealm.New(t, mitrealm.Config{Users: users}), certs: newPKI(t), program: serverProgram(t)}
	s.policy = filepath.Join(t.TempDir(), "policy")
	check(t, os.WriteFile(s.policy, []byte(tutorialPolicy), 0o600))
	var urls []string
	s.server, urls = s.serve(t, "--listen", "tcp://127.0.0.1:0?service=push", "--listen", "tls://127.0.0.1:0?service=push", "--listen", "tcp://127.0.0.1:0",
		"--tls-cert", s.certs.Path("server.crt"), "--tls-key", s.certs.Path("server.key"))
	s.tcp, s.tls, s.sign = urls[0], urls[1], urls[2]
	return s
}

// serve starts a server with the tutorial's groups, and gives the URLs of its listeners.
func (s *pushScene) serve(t *testing.T, args ...string) (server *follower, urls []string) {
	t.Helper()
	cmd := exec.Command(s.program, append([]string{
		"--group", "1=R&D Department", "--group", "2=Sales Department", "--push-policy", s.policy, "--log-format", "json", "--grace", "2s",
	}, append(args, "host@localhost")...)...)
	cmd.Env = s.realm.Env()
	server = follow(t, cmd)
	for _, arg := range args {
		if !strings.Contains(arg, "://127.0.0.1:0") {
			continue
		}
		record := server.awaitNth(t, want{"msg": "listening"}, len(urls)+1)
		url := fmt.Sprintf("%v://%v", record["transport"], record["address"])
		if record["transport"] == "tls" { // whose certificate has the name
			url = strings.Replace(url, "127.0.0.1", "localhost", 1)
		}
		urls = append(urls, url)
	}
	return server, urls
}

// client starts gss-client with --json as a user, who has the password that its name and
// "pw" are.
func (s *pushScene) client(t *testing.T, user string, args ...string) *follower {
	t.Helper()
	return follow(t, s.command(user, append([]string{"--json"}, args...)...))
}

func (s *pushScene) command(user string, args ...string) *exec.Cmd {
	options := []string{"-user", user, "-pass", user + "pw"}
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "tls://") }) {
		options = append(options, "--tls-ca", s.certs.Path("ca.crt"))
	}
	return s.realm.Command("gss-client", append(options, args...)...)
}

// run runs gss-client as a user to its end.
func (s *pushScene) run(t *testing.T, user string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := s.command(user, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code tells
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

var everyone = map[string]string{"alice": "alicepw", "bob": "bobpw", "carol": "carolpw", "mallory": "mallorypw"}

// The scenario of SocketPro's tutorial, with the programs, against MIT's KDC:
// three groups, subscribed to 1 and 3 on arrival, publications to 1 and 2, messages to
// users, and a batch with a request in it that takes long. Who is from whom
// says the KDC.
func TestPushTutorial(t *testing.T) {
	s := newPushScene(t, everyone)
	const target = "host@localhost"

	bob := s.client(t, "bob", "--watch", "--batch", "-", s.tcp, target)
	welcome := bob.await(t, want{"event": "connected"})
	if !(want{"server": "host/localhost@MIT.TEST", "you": "bob@MIT.TEST", "local": "bob"}).matches(welcome) {
		t.Errorf("welcome %v", welcome)
	}
	bob.await(t, want{"event": "joined", "groups": "[1 3]"})
	carol := s.client(t, "carol", "--subscribe", "2", "--watch", "--bind", "require", s.tls, target)
	carol.await(t, want{"event": "result", "operation": "subscribe", "groups": "[2]", "status": "done"})
	bob.await(t, want{"event": "entered", "who": "carol@MIT.TEST", "groups": "[1 3]"})

	// Published by a client to 1 and 2: each gets it once, in one group or in both.
	code, stdout, stderr := s.run(t, "alice", "--publish", "1,2", s.tls, target, "Good morning")
	if code != 0 || stdout != "publish 1,2: done, 3 receivers\n" { // alice herself, too, is subscribed to 1
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	published := want{"event": "published", "from": "alice@MIT.TEST", "groups": "[1 2]", "seqs": "[1 1]", "text": "Good morning"}
	origin := bob.await(t, published)["origin"]
	if got := carol.await(t, published)["origin"]; got != origin || len(fmt.Sprint(origin)) != 16 {
		t.Errorf("origins %v and %v", got, origin)
	}

	// To a user, by local name and by principal, on every connection that they have.
	second := s.client(t, "bob", "-spnego", "--watch", s.tcp, target)
	second.await(t, want{"event": "joined"})
	for i, to := range []string{"bob", "bob@MIT.TEST"} {
		code, stdout, stderr := s.run(t, "carol", "--to", to, s.tcp, target, "Call me, "+to)
		if code != 0 || stdout != "to "+to+": done, 2 receivers\n" {
			t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
		}
		for _, f := range []*follower{bob, second} {
			f.awaitNth(t, want{"event": "sent", "from": "carol@MIT.TEST", "text": "Call me, " + to}, 1)
			if n := len(f.all(want{"event": "sent"})); n != i+1 {
				t.Errorf("%d messages, want %d", n, i+1)
			}
		}
	}
	if code := second.interrupt(t); code != 0 {
		t.Errorf("exit status %d:\n%s", code, second.said())
	}

	// To somebody who is not there.
	for _, to := range []string{"dave", "bob@OTHER.TEST", `bob\@MIT.TEST`} {
		code, stdout, stderr := s.run(t, "alice", "--to", to, s.tcp, target, "Hello?")
		if code != 1 || stdout != "to "+to+": nobody of that name is connected\n" || stderr != "gss-client: push: "+strings.TrimSpace(stdout)+"\n" {
			t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
		}
	}

	// What the policy does not allow.
	code, stdout, stderr = s.run(t, "alice", "--publish", "3", s.tcp, target, "Now I decide")
	if code != 1 || stdout != "publish 3: not allowed to publish to group 3\n" ||
		!strings.Contains(stderr, "hint: the server has for you: 1 R&D Department (read, publish), 2 Sales Department (read, publish), 3 Management Department (read)\n") {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}

	// A batch with something slow in it: what comes meanwhile is not held up.
	file := filepath.Join(t.TempDir(), "batch")
	check(t, os.WriteFile(file, []byte("# slow\npublish 1 before\nwait 1m\npublish 1 after\n"), 0o600))
	slow := s.client(t, "alice", "--watch", "--batch", file, s.tcp, target)
	slow.await(t, want{"event": "result", "operation": "publish", "line": 2, "status": "done"})
	bob.await(t, want{"event": "published", "text": "before", "groups": "[1]", "seqs": "[2]"})
	for i := range 3 {
		text := fmt.Sprint("meanwhile ", i)
		bob.do(t, "publish 1 "+text)
		bob.await(t, want{"event": "result", "operation": "publish", "line": i + 1, "status": "done"})
		slow.await(t, want{"event": "published", "from": "bob@MIT.TEST", "text": text})
	}
	if done := slow.all(want{"event": "result"}); len(done) != 1 {
		t.Errorf("results while one takes long: %v", done)
	}
	if code := slow.interrupt(t); code != 1 || !strings.Contains(slow.said(), "gss-client: push: interrupted\n") {
		t.Errorf("exit status %d:\n%s", code, slow.said())
	}
	if n := len(bob.all(want{"text": "after"})); n != 0 {
		t.Errorf("%d messages of a batch that was interrupted", n)
	}

	// One that ends: results in order, signatures verified.
	check(t, os.WriteFile(file, []byte("subscribe 2\npublish 2 one\nwait 300ms\nsign some text\nto carol two\nleave 2\n"), 0o600))
	batch := s.client(t, "alice", "--batch", file, s.tls, target)
	if code := batch.wait(t); code != 0 {
		t.Errorf("exit status %d:\n%s", code, batch.said())
	}
	var order []string
	for i, line := range batch.all(want{"event": "result", "status": "done"}) {
		order = append(order, fmt.Sprint(line["operation"]))
		if fmt.Sprint(line["line"]) != fmt.Sprint(i+1) || (line["mic"] != nil) != (line["operation"] == "sign") {
			t.Errorf("%v", line)
		}
	}
	if got := strings.Join(order, " "); got != "subscribe publish wait sign to leave" {
		t.Errorf("results %s:\n%s", got, batch.said())
	}
	carol.await(t, want{"event": "published", "text": "one"})
	carol.await(t, want{"event": "sent", "text": "two", "from": "alice@MIT.TEST"})

	// The tutorial has user ids and passwords; here the KDC says who one is.
	code, _, stderr = s.run(t, "alice", "-pass", "mallorypw", "--publish", "1", s.tcp, target, "I am alice")
	if code != 1 || !strings.Contains(stderr, "acquiring creds: ") {
		t.Errorf("exit status %d\n%s", code, stderr)
	}
	code, _, stderr = s.run(t, "mallory", "--publish", "1", s.tcp, target, `{"event":"published","from":"alice@MIT.TEST"}`)
	if code != 0 {
		t.Errorf("exit status %d\n%s", code, stderr)
	}
	bob.await(t, want{"event": "published", "from": "mallory@MIT.TEST", "text": `{"event":"published","from":"alice@MIT.TEST"}`})

	// The sign service beside it is as ever.
	code, stdout, stderr = s.run(t, "alice", s.sign, target, "hello")
	if code != 0 || !strings.HasSuffix(stdout, signed) {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}

	// A line of standard input that is wrong is told, and spoils nothing but the exit
	// status.
	bob.do(t, "dance")
	bob.do(t, "leave 1")
	bob.await(t, want{"event": "result", "operation": "leave", "line": 5, "status": "done"})
	carol.await(t, want{"event": "left", "who": "bob@MIT.TEST", "groups": "[1]"})
	check(t, bob.stdin.Close())
	if code := bob.interrupt(t); code != 1 || !strings.Contains(bob.said(), `standard input:4: unknown operation "dance"`) ||
		!strings.Contains(bob.said(), "1 of 5 operations not done") {
		t.Errorf("exit status %d:\n%s", code, bob.said())
	}
	if code := carol.interrupt(t); code != 0 {
		t.Errorf("exit status %d:\n%s", code, carol.said())
	}
	if code := s.server.interrupt(t); code != 0 {
		t.Errorf("the server's exit status %d:\n%s", code, s.server.said())
	}
}

// A policy that is changed counts for those who are connected; one that cannot be
// used is logged and changes nothing; SIGHUP has it read at once. A server that
// goes away is waited for.
func TestPushPolicyChanges(t *testing.T) {
	s := newPushScene(t, everyone)
	const target = "host@localhost"
	bob := s.client(t, "bob", "--subscribe", "2", "--watch", "--batch", "-", s.tcp, target)
	bob.await(t, want{"event": "result", "groups": "[2]", "status": "done"})
	change := func(content string) {
		t.Helper()
		next := s.policy + ".new"
		check(t, os.WriteFile(next, []byte(content), 0o600))
		check(t, os.Rename(next, s.policy))
	}
	const less = "group 3 Board\nread 1,2 *@MIT.TEST\nread 3 alice@MIT.TEST\npublish 2 *\n"
	change(less)
	bob.await(t, want{"event": "removed", "groups": "[3]"})
	s.server.await(t, want{"msg": "push: policy read again"})
	bob.do(t, "subscribe 3")
	bob.await(t, want{"event": "result", "line": 1, "status": "forbidden"})
	bob.do(t, "publish 1 x")
	bob.await(t, want{"event": "result", "line": 2, "status": "forbidden"})

	change(less + "read 5 *\n")
	failed := s.server.await(t, want{"level": "error"})
	if !strings.Contains(fmt.Sprint(failed["error"]), `:5: "read 5 *": there is no group 5`) || !strings.Contains(fmt.Sprint(failed["msg"]), "going on with the one before") {
		t.Errorf("log record %v", failed)
	}
	bob.do(t, "publish 2 still")
	bob.await(t, want{"event": "published", "text": "still"})

	change("group 4 New\n" + less + "read 4 *\n")
	check(t, s.server.cmd.Process.Signal(syscall.SIGHUP))
	s.server.awaitNth(t, want{"msg": "push: policy read again"}, 2)
	bob.do(t, "subscribe 4")
	bob.await(t, want{"event": "result", "line": 4, "status": "done"})
	change(less)
	bob.await(t, want{"event": "removed", "groups": "[4]"})

	if code := s.server.interrupt(t); code != 0 {
		t.Errorf("the server's exit status %d:\n%s", code, s.server.said())
	}
	gone := bob.await(t, want{"event": "disconnected"})
	if !strings.Contains(fmt.Sprint(gone["error"]), "the server stops") || gone["retry_in"] == nil {
		t.Errorf("%v", gone)
	}
	if code := bob.interrupt(t); code != 1 {
		t.Errorf("exit status %d:\n%s", code, bob.said())
	}
}

// Under -once the exit code is that of the one session.
func TestPushOnce(t *testing.T) {
	s := newPushScene(t, everyone)
	server, urls := s.serve(t, "--listen", "tcp://127.0.0.1:0?service=push", "-once", "-verbose")
	code, stdout, stderr := s.run(t, "alice", "--publish", "1,2", urls[0], "host@localhost", "once")
	if code != 0 {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	if code := server.wait(t); code != 0 {
		t.Errorf("the server's exit status %d:\n%s", code, server.said())
	}
	server.await(t, want{"msg": "push: publish", "client": "alice@MIT.TEST", "groups": "[1 2]", "octets": 4})

	server, urls = s.serve(t, "--listen", "tcp://127.0.0.1:0?service=push", "-once")
	code, _, stderr = s.run(t, "alice", urls[0], "host@localhost", "to be signed")
	if code != 1 || !strings.Contains(stderr, "gss-client: receiving answer: ") {
		t.Errorf("exit status %d\n%s", code, stderr)
	}
	if code := server.wait(t); code != 1 {
		t.Errorf("the server's exit status %d:\n%s", code, server.said())
	}
}
