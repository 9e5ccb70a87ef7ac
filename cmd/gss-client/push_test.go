package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
)

// Command lines of the push service, and those that contradict themselves.
func TestPushOptions(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // of the error
	}{
		{"--subscribe 1,3 --watch host svc", ""},
		{"--watch tls://host:4448 svc", ""},
		{"--publish 1,2 host svc msg", ""},
		{"--publish 1 --to bob host svc -f file", ""},
		{"--to alice --json -q --timeout 2s -spnego host svc msg", ""},
		{"--batch - --json --service push host svc", ""},
		{"--batch f --publish 1 -user u -pass p -iakerb --bind require tls://host svc msg", ""},
		{"--service push host svc", "there is nothing to do"},
		{"--service push --json host svc", "there is nothing to do"},
		{"--service sign --watch host svc", "--service sign and --watch contradict each other"},
		{"--service echo --to bob host msg", "--service echo and --to contradict each other"},
		{"--watch host svc msg", `"msg": a message goes with --publish or --to only`},
		{"--subscribe 1 host svc -f msg", "a message goes with --publish or --to only"},
		{"--watch -f host svc", "-f is for the message of --publish and --to"},
		{"--publish 1 host svc", "missing: message"},
		{"--watch host", "missing: service"},
		{"--subscribe one host svc", `--subscribe: "one" is no list of groups`},
		{"--subscribe= host svc", "--subscribe has an empty value"},
		{"--publish 1,-2 host svc msg", "--publish: "},
		{"--to= host svc msg", "--to has an empty value"},
		{"--to " + strings.Repeat("a", 5000) + " host svc msg", "--to: the name has 5000 bytes"},
		{"--watch -q host svc", "-q and --watch contradict each other"},
		{"--watch dtls://host svc", "the push service needs a stream"},
		{"--watch -v1 host svc", "the push service has no use for -v1"},
		{"--watch -na host svc", "no use for -na"},
		{"--watch -nx host svc", "no use for -nx"},
		{"--watch -seq host svc", "no use for -seq"},
		{"--watch -nomutual host svc", "no use for -nomutual"},
		{"--publish 1 -mcount 2 host svc msg", "no use for -mcount"},
		{"--publish 1 --size 2 host svc", "no use for -size"},
		{"--watch --concurrency 2 host svc", "no use for -concurrency"},
		{"--watch --bind require host svc", "plain TCP is no channel"},
	} {
		o, err := parse(strings.Fields(tt.args))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.args, err)
		case tt.want == "" && (!o.push.asked || o.load || o.tls.service != "push"):
			t.Errorf("%s: %+v", tt.args, o)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.60s: %v, want an error with %q", tt.args, err, tt.want)
		}
	}
	if o, err := parse(strings.Fields("--json host svc msg")); err != nil || !o.load || o.push.asked {
		t.Errorf("--json alone: %+v, %v", o, err)
	}
}

// servePushing serves push in an embedded realm, in which the environment is alice's, and
// gives the URL.
func servePushing(t *testing.T, hooks push.Hooks) string {
	t.Helper()
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST"})
	check(t, err)
	t.Cleanup(func() { realm.Close() })
	service, err := push.New(push.Config{
		Acceptor: join(t, realm),
		Setup:    func(h *push.Hub) error { return h.SetGroups([]push.Group{{Number: 1, Name: "One"}}) },
		Hooks:    hooks,
	})
	check(t, err)
	engine, err := server.New(server.Config{Service: service})
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		check(t, errors.Join(<-done, service.Close()))
	})
	return "tcp://" + l.Addr().String()
}

// What the server's program refuses, in its words, which may be anything, and what it
// takes too long for.
func TestPushRefusedAndSlow(t *testing.T) {
	url := servePushing(t, push.Hooks{Publish: func(ctx context.Context, _ *push.Member, _ []uint32, data []byte) error {
		switch string(data) {
		case "rude":
			return errors.New("mind your\x1b[31m größte language")
		case "slow":
			<-ctx.Done()
		}
		return nil
	}})
	for _, tt := range []struct {
		message, stdout, stderr string
	}{
		{"fine", "publish 1: done, 0 receivers\n", ""},
		{"rude", "publish 1: refused by the server's program: mind your\\x1b[31m größte language\n", "gss-client: push: publish 1: refused by the server's program: mind your"},
		{"slow", "", "gss-client: push: publish 1: no answer within 300ms\nhint: --timeout gives it longer\n"},
	} {
		code, stdout, stderr := runClient(t, "--timeout", "300ms", "--publish", "1", url, "host@localhost", tt.message)
		if (code == exitVerified) != (tt.stderr == "") || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit status %d\n%s%s", tt.message, code, stdout, stderr)
		}
	}
	code, stdout, stderr := runClient(t, "--timeout", "300ms", "--json", "--publish", "1", url, "host@localhost", "rude")
	if code != exitFailed || !strings.Contains(stdout, `"status":"declined"`) {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
}

// A client that the server's program does not let in, and one that can print nothing.
func TestPushNoUse(t *testing.T) {
	url := servePushing(t, push.Hooks{Arrive: func(_ context.Context, m *push.Member) error {
		if len(m.Principal()) > 0 {
			return errors.New("closed on Sundays")
		}
		return nil
	}})
	code, stdout, stderr := runClient(t, "--watch", url, "host@localhost")
	if code != exitFailed || stdout != "" || !strings.HasPrefix(stderr, "gss-client: push: the server refused the client: ") || !strings.Contains(stderr, "closed on Sundays\n") {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	url = servePushing(t, push.Hooks{})
	for _, args := range [][]string{{"--watch"}, {"--subscribe", "1"}, {"--watch", "--json", "--subscribe", "1"}} {
		var errs bytes.Buffer
		code := run(t.Context(), append(args, url, "host@localhost"), fullDisk{}, &errs)
		if code != exitFailed || errs.String() != "gss-client: writing standard output: no space left\n" {
			t.Errorf("%q: exit status %d\n%s", args, code, &errs)
		}
	}
}
