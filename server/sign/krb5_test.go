package sign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/token"
)

// A site is a server of the sign service in an embedded realm.
type site struct {
	realm    *gsstest.Realm
	address  string
	acceptor *krb5.Acceptor
	alice    *krb5.Initiator
	log      *records
}

// records are log records as they come.
type records struct {
	mu   sync.Mutex
	list []map[string]any
	news chan struct{}
}

func (r *records) Write(b []byte) (int, error) {
	var rec map[string]any
	if err := json.Unmarshal(b, &rec); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
	close(r.news)
	r.news = make(chan struct{})
	return len(b), nil
}

// end waits for the record of a session's end, of the peer with the address.
func (r *records) end(t testing.TB, peer net.Addr) map[string]any {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		news := r.news
		i := slices.IndexFunc(r.list, func(rec map[string]any) bool {
			return rec["peer"] == peer.String() && strings.HasPrefix(rec["msg"].(string), "session ")
		})
		if i >= 0 {
			defer r.mu.Unlock()
			return r.list[i]
		}
		r.mu.Unlock()
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("no record of the end of %s", peer)
		}
	}
}

func newSite(t testing.TB) *site {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KRB5RCACHEDIR", t.TempDir())
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "R.TEST"})
	check(err)
	t.Cleanup(func() { realm.Close() })
	check(realm.AddUser("alice", "secret"))
	check(realm.AddService("host/localhost"))

	conf := filepath.Join(t.TempDir(), "krb5.conf")
	check(os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	profile, err := krb5.ReadProfile(conf)
	check(err)
	keys, err := realm.Keytab("host/localhost")
	check(err)
	keytab, err := krb5.ParseKeytab(keys)
	check(err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("host@localhost"), Keytab: keytab, Profile: profile,
	})
	check(err)
	s := &site{realm: realm, log: &records{news: make(chan struct{})}}
	s.acceptor, err = krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	check(err)
	user, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "secret", Profile: profile,
	})
	check(err)
	s.alice, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: user})
	check(err)

	svc, err := sign.New(sign.Config{Acceptor: s.acceptor, LocalName: s.acceptor.LocalName, AllowUnauthenticated: true})
	check(err)
	log := logrus.New()
	log.SetOutput(s.log)
	log.SetFormatter(&logrus.JSONFormatter{})
	srv, err := server.New(server.Config{Service: svc, Log: log})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	s.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
	return s
}

// A client is the other end of a session.
type client struct {
	conn net.Conn
	tok  *token.Conn
	sec  gss.Context
}

func (s *site) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	tok, err := token.Config{Version: token.V2}.NewConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	return &client{conn: conn, tok: tok}
}

// establish connects and establishes a context as alice.
func (s *site) establish(t testing.TB, flags gss.Flags) *client {
	t.Helper()
	c := s.dial(t)
	var err error
	c.sec, err = gss.Initiate(t.Context(), c.tok, s.alice, gss.Request{Target: gss.HostService("host@localhost"), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// firstToken is a good context token that nobody has seen yet.
func (s *site) firstToken(t testing.TB) []byte {
	t.Helper()
	sec, err := s.alice.Initiate(t.Context(), gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := sec.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func (c *client) write(t testing.TB, b []byte) {
	t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (c *client) wrap(t testing.TB, msg string) []byte {
	t.Helper()
	wrapped, err := c.sec.Wrap(nil, []byte(msg), true)
	if err != nil {
		t.Fatal(err)
	}
	return raw(allFlags, string(wrapped))
}

// signed reads the answer to a message and verifies it.
func (c *client) signed(t testing.TB, msg string) {
	t.Helper()
	reply, err := c.tok.ReadFrame()
	if err != nil || reply.Flags != token.MIC {
		t.Fatalf("%q was answered by %v, %v", msg, reply.Flags, err)
	}
	if err := c.sec.VerifyMIC([]byte(msg), reply.Data); err != nil {
		t.Errorf("MIC of %q: %v", msg, err)
	}
}

func (c *client) sign(t testing.TB, msg string) {
	t.Helper()
	c.write(t, c.wrap(t, msg))
	c.signed(t, msg)
}

// Whatever a peer sends, it is told off in the log, a session beside it is not
// disturbed, and the next one is served.
func TestHostilePeers(t *testing.T) {
	s := newSite(t)
	bystander := s.establish(t, gss.Mutual|gss.ReplayDetection|gss.Confidentiality|gss.Integrity)
	tests := []struct {
		name string
		peer func(t *testing.T) *client
		log  string // part of the error logged
	}{
		{"garbage", func(t *testing.T) *client {
			c := s.dial(t)
			random := make([]byte, 1000)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(random) // never fails
			copy(random, "\x80\x00\x00\x03\xe3")             // a whole frame, by chance
			c.write(t, random)
			return c
		}, "expected a NOOP frame first"},
		{"garbage as context token", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, raw(token.Context, strings.Repeat("garbage", 100))))
			return c
		}, "accepting context: Invalid token was supplied"},
		{"4 GiB", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, []byte("\x02\xff\xff\xff\xff")))
			return c
		}, "frame of 4294967295 bytes is longer than the limit"},
		{"more than any context token", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, []byte("\x02\x00\x10\x00\x00"), make([]byte, 300<<10)))
			return c
		}, "handshake is longer than 262144 bytes"},
		{"another mechanism's OID", func(t *testing.T) *client {
			c := s.dial(t)
			tok := s.firstToken(t)
			i := bytes.Index(tok, []byte(gss.MechKrb5))
			tok[i+len(gss.MechKrb5)-1]++
			c.write(t, slices.Concat(greeting, raw(token.Context, string(tok))))
			return c
		}, "accepting context: An unsupported mechanism was requested"},
		{"cut off in the handshake", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, raw(token.Context, string(s.firstToken(t)))[:100]))
			return c
		}, "stream ended inside a frame"},
		{"a context token twice", func(t *testing.T) *client {
			first := raw(token.Context, string(s.firstToken(t)))
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, first))
			if reply, err := c.tok.ReadFrame(); err != nil || reply.Flags != token.Context {
				t.Fatalf("the first was answered by %v, %v", reply.Flags, err)
			}
			c = s.dial(t)
			c.write(t, slices.Concat(greeting, first))
			return c
		}, "Request is a replay"},
		{"a message before the context", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(greeting, raw(allFlags, "hello")))
			return c
		}, "expected a frame with CONTEXT, got one with DATA"},
		{"a message to be signed without a context", func(t *testing.T) *client {
			c := s.dial(t)
			c.write(t, slices.Concat(end, raw(0x84, "hello")))
			return c
		}, "unauthenticated client requested authenticated services"},
		{"an empty frame that should be wrapped", func(t *testing.T) *client {
			c := s.establish(t, 0)
			c.write(t, raw(allFlags, ""))
			return c
		}, "unsealing message: Invalid token was supplied"},
		{"a message altered on the way", func(t *testing.T) *client {
			c := s.establish(t, 0)
			msg := c.wrap(t, "hello")
			msg[len(msg)-20] ^= 1
			c.write(t, msg)
			return c
		}, "unsealing message: A token had an invalid Message Integrity Check (MIC)"},
		{"a message of another context", func(t *testing.T) *client {
			c := s.establish(t, 0)
			c.write(t, bystander.wrap(t, "hello"))
			return c
		}, "unsealing message: "},
		{"a message twice", func(t *testing.T) *client {
			c := s.establish(t, gss.Mutual|gss.ReplayDetection|gss.Confidentiality|gss.Integrity)
			msg := c.wrap(t, "hello")
			c.write(t, msg)
			c.signed(t, "hello")
			c.write(t, msg)
			return c
		}, "unsealing message: The token was a duplicate of an earlier token"},
		{"messages out of order, with sequencing", func(t *testing.T) *client {
			c := s.establish(t, 0)
			one, two := c.wrap(t, "one"), c.wrap(t, "two")
			c.write(t, slices.Concat(two, one))
			return c
		}, "unsealing message: An expected per-message token was not received"},
		{"no end", func(t *testing.T) *client {
			c := s.establish(t, 0)
			c.sign(t, "hello")
			return c
		}, "closed without the NOOP frame"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.refuses(t, tt.peer(t), bystander, tt.log)
		})
	}
}

// refuses checks that the peer is told off in the log, with the text in the
// error, that the bystander goes on, and that another session is served.
func (s *site) refuses(t *testing.T, c, bystander *client, want string) {
	t.Helper()
	if half, ok := c.conn.(*net.TCPConn); ok {
		if err := half.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for { // an error token may come, a MIC must not
		frame, err := c.tok.ReadFrame()
		if err != nil {
			if err != io.EOF {
				t.Errorf("the peer's connection ended with %v", err)
			}
			break
		}
		if frame.Flags != token.Context {
			t.Errorf("answered by %v", frame.Flags)
		}
	}
	rec := s.log.end(t, c.conn.LocalAddr())
	if got := fmt.Sprint(rec["error"]); rec["msg"] != "session failed" || !strings.Contains(got, want) {
		t.Errorf("logged %v, want an error with %q", rec, want)
	}
	if strings.Contains(want, "message: ") || strings.Contains(want, "context: ") {
		if rec["major"] == nil || rec["minor"] == nil {
			t.Errorf("logged %v, without major and minor status", rec)
		}
	}

	bystander.sign(t, "undisturbed")
	next := s.establish(t, 0)
	next.sign(t, "served")
	next.write(t, end)
	if rec := s.log.end(t, next.conn.LocalAddr()); rec["msg"] != "session ended" || rec["client"] != "alice@R.TEST" {
		t.Errorf("the next session's record is %v", rec)
	}
}

// Every strict prefix of a good context token is refused, and none of them
// makes the whole one a replay.
func TestPrefixesOfContextToken(t *testing.T) {
	s := newSite(t)
	tok := s.firstToken(t)
	for n := range len(tok) {
		back, _, err := talk(t, sign.Config{Acceptor: s.acceptor}, slices.Concat(greeting, raw(token.Context, string(tok[:n])), end))
		var status *gss.Error
		if !errors.As(err, &status) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(tok), err)
		}
		if status.Major != gss.ErrDefectiveToken && status.Major != gss.ErrBadMech {
			t.Errorf("the first %d of %d bytes: %v", n, len(tok), err)
		}
		if bytes.Contains(back, []byte{byte(token.MIC)}) && len(back) > 500 {
			t.Errorf("the first %d of %d bytes were answered by %d", n, len(tok), len(back))
		}
	}
	if _, _, err := talk(t, sign.Config{Acceptor: s.acceptor}, slices.Concat(greeting, raw(token.Context, string(tok)), end)); err != nil {
		t.Error(err)
	}
}

// Without sequencing, messages that overtook each other are all signed.
func TestReorderedWithoutSequencing(t *testing.T) {
	s := newSite(t)
	c := s.establish(t, gss.Mutual|gss.ReplayDetection|gss.Confidentiality|gss.Integrity)
	one, two := c.wrap(t, "one"), c.wrap(t, "two")
	c.write(t, slices.Concat(two, one, end))
	c.signed(t, "two")
	c.signed(t, "one")
	if rec := s.log.end(t, c.conn.LocalAddr()); rec["msg"] != "session ended" || rec["messages"] != 2.0 {
		t.Errorf("logged %v", rec)
	}
}

// Version 1, as Sun's and Java's clients speak it.
func TestVersion1(t *testing.T) {
	s := newSite(t)
	c := s.dial(t)
	var err error
	if c.tok, err = (token.Config{Version: token.V1}).NewConn(c.conn); err != nil {
		t.Fatal(err)
	}
	if c.sec, err = gss.Initiate(t.Context(), c.tok, s.alice, gss.Request{Target: gss.HostService("host@localhost")}); err != nil {
		t.Fatal(err)
	}
	for _, msg := range []string{"one", "", "three"} {
		wrapped, err := c.sec.Wrap(nil, []byte(msg), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.tok.WriteFrame(0, wrapped); err != nil {
			t.Fatal(err)
		}
		reply, err := c.tok.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.sec.VerifyMIC([]byte(msg), reply.Data); err != nil {
			t.Errorf("MIC of %q: %v", msg, err)
		}
	}
	_ = c.conn.Close()
	if rec := s.log.end(t, c.conn.LocalAddr()); rec["msg"] != "session ended" || rec["messages"] != 3.0 {
		t.Errorf("logged %v", rec)
	}
}
