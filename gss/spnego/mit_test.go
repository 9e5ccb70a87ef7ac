package spnego

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

func mitKerberos(t testing.TB, realm *mitrealm.Realm) *kerberos {
	t.Helper()
	realm.Kinit("alice")
	var k kerberos
	var err error
	k.profile, err = krb5.ReadProfile(realm.ConfigFile)
	must(t, err)
	k.keytab, err = krb5.OpenKeytab(realm.KeytabFile)
	must(t, err)
	k.cache, err = krb5.OpenCache("FILE:" + realm.CCacheFile)
	must(t, err)
	return &k
}

// MIT's gss-client negotiates with our acceptor and gets its MIC.
func TestMITClient(t *testing.T) {
	mitrealm.Need(t, "gss-client")
	realm := mitrealm.New(t, mitrealm.Config{})
	k := mitKerberos(t, realm)
	a, err := NewAcceptor(fake{mech: mechA, legs: 2}, k.acceptor(t))
	must(t, err)
	for _, options := range []string{"", "-nomutual", "-seq -mcount 3", "-ccount 2", "-nw", "-noreplay -nomutual -nx", "-dce", "-d"} {
		t.Run("options="+options, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			served := make(chan error, 1)
			go func() { served <- serveSample(l, a) }()
			host, port, _ := net.SplitHostPort(l.Addr().String())
			args := append([]string{"-port", port, "-spnego"}, strings.Fields(options)...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := output(ctx, realm.Command("gss-client", append(args, host, service, "hello")...))
			if err != nil || !strings.Contains(out, "Signature verified.") {
				t.Errorf("gss-client: %v\n%s", err, out)
			}
			must(t, l.Close())
			if err := <-served; err != nil {
				t.Errorf("our end: %v", err)
			}
		})
	}
}

// An acceptor may ask for the MICs when it need not (RFC 4178, section 4.2.2).
// Ours never does, but only so does MIT's client, which offers Kerberos alone,
// come to make and verify them with an acceptor of ours.
func TestMITClientMIC(t *testing.T) {
	mitrealm.Need(t, "gss-client")
	realm := mitrealm.New(t, mitrealm.Config{})
	k := mitKerberos(t, realm)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	a, err := NewAcceptor(k.acceptor(t))
	must(t, err)
	served := make(chan error, 1)
	d := &demanding{Acceptor: a}
	go func() { served <- serveSample(l, d) }()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := output(ctx, realm.Command("gss-client", "-port", port, "-spnego", host, service, "hello"))
	if err != nil || !strings.Contains(out, "Signature verified.") {
		t.Errorf("gss-client: %v\n%s", err, out)
	}
	must(t, l.Close())
	if err := <-served; err != nil {
		t.Errorf("our end: %v", err)
	}
	if !d.mic.sent || !d.mic.verified {
		t.Errorf("MIC sent %t, verified %t", d.mic.sent, d.mic.verified)
	}
}

// demanding is an acceptor that requires MICs whatever is chosen.
type demanding struct {
	*Acceptor
	mic *micExchange // of the last context
}

func (d *demanding) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	n := &demandingNegotiation{acceptNegotiation{acceptor: d.Acceptor, bindings: bindings}}
	d.mic = &n.mic
	return &secContext{neg: n}, nil
}

type demandingNegotiation struct{ acceptNegotiation }

// step is acceptNegotiation's, but for the first message.
func (n *demandingNegotiation) step(token []byte) (reply []byte, done bool, err error) {
	if n.chosen != nil {
		return n.acceptNegotiation.step(token)
	}
	_, message, err := unframe(token)
	if err != nil {
		return nil, false, err
	}
	init, err := parseNegTokenInit(message)
	if err != nil {
		return nil, false, err
	}
	next := negTokenResp{state: requestMIC, mech: init.mechs[0]}
	n.mic = micExchange{required: true, mechList: slices.Clone(init.mechList)}
	if n.chosen, err = n.acceptor.mechs[init.mechs[0]].Accept(n.bindings); err != nil {
		return nil, false, err
	}
	if next.token, err = n.chosen.Step(init.token); err != nil {
		return nil, false, err
	}
	return n.finish(next, init.mic)
}

func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// serveSample serves the sample protocol, one connection after the other, until
// the listener closes.
func serveSample(l net.Listener, a gss.Acceptor) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		err = serveSession(token.NewConn(conn), a)
		conn.Close()
		if err != nil {
			return err
		}
	}
}

func serveSession(conn *token.Conn, a gss.Acceptor) error {
	sec, err := gss.Accept(context.Background(), conn, a, nil)
	if err != nil {
		return err
	}
	defer sec.Delete()
	if info := sec.Inquire(); info.Mechanism != gss.MechKrb5 || info.Initiator.String() != "alice@MIT.TEST" {
		return errors.New("context of " + info.Initiator.String() + " by " + info.Mechanism.Name())
	}
	for {
		frame, err := conn.ReadFrame()
		if err != nil {
			return err
		}
		if frame.Flags&token.Data == 0 {
			return nil
		}
		msg := frame.Data
		if frame.Flags&token.Wrapped != 0 {
			if msg, _, err = sec.Unwrap(nil, frame.Data); err != nil {
				return err
			}
		}
		mic, err := sec.MIC(nil, msg)
		if err != nil {
			return err
		}
		if err := conn.WriteFrame(token.MIC, mic); err != nil {
			return err
		}
	}
}

// Our initiator negotiates with MIT's gss-server, by every path that leads to
// Kerberos, and verifies its MIC.
func TestMITServer(t *testing.T) {
	mitrealm.Need(t, "gss-server")
	realm := mitrealm.New(t, mitrealm.Config{})
	k := mitKerberos(t, realm)
	server := realm.GSSServer(service)
	other := fake{mech: mechA, legs: 2}
	const unilateral = gss.Integrity | gss.Confidentiality
	for _, tt := range []struct {
		name  string
		flags gss.Flags
		mechs []gss.Initiator
		said  string
	}{
		{"alone", 0, []gss.Initiator{k.initiator(t)},
			"init krb5 token; completed krb5 token"},
		{"alone, not mutual", unilateral, []gss.Initiator{k.initiator(t)},
			"init krb5 token; completed krb5"},
		{"alone, DCE style", gss.DefaultFlags | gss.DCEStyle, []gss.Initiator{k.initiator(t)},
			"init krb5 token; incomplete krb5 token; incomplete token; completed"},
		{"fallback, DCE style", gss.DefaultFlags | gss.DCEStyle, []gss.Initiator{other, k.initiator(t)},
			"init A krb5 token; request-mic krb5; incomplete token; incomplete token; incomplete token mic; completed mic"},
		{"preferred", 0, []gss.Initiator{k.initiator(t), other},
			"init krb5 A token; completed krb5 token"},
		{"fallback", 0, []gss.Initiator{other, k.initiator(t)},
			"init A krb5 token; request-mic krb5; incomplete token; incomplete token mic; completed mic"},
		{"fallback, not mutual", unilateral, []gss.Initiator{other, k.initiator(t)},
			"init A krb5 token; request-mic krb5; incomplete token mic; completed mic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, err := NewInitiator(tt.mechs...)
			must(t, err)
			conn := dialSample(t, server.Addr)
			sec, err := gss.Initiate(t.Context(), conn, i, gss.Request{Target: gss.HostService(service), Flags: tt.flags})
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, strings.Join(conn.said, "; "), server.Output())
			}
			if got := strings.Join(conn.said, "; "); got != tt.said {
				t.Errorf("said %s\nwant %s", got, tt.said)
			}
			msg := []byte("hello")
			wrapped, err := sec.Wrap(nil, msg, true)
			must(t, err)
			must(t, conn.WriteFrame(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, wrapped))
			frame, err := conn.ReadFrame()
			must(t, err)
			if frame.Flags != token.MIC {
				t.Fatalf("answered by %s", frame.Flags)
			}
			must(t, sec.VerifyMIC(msg, frame.Data))
			must(t, conn.WriteFrame(token.NOOP, nil))
		})
	}
	t.Run("reject", func(t *testing.T) {
		late := k.initiatorAt(t, func() time.Time { return time.Now().Add(10 * time.Minute) })
		for _, tt := range []struct {
			mech gss.Initiator
			said string
			want gss.Error
		}{
			{other, "init A token; reject", gss.Error{Major: gss.ErrBadMech, Mech: gss.MechSPNEGO, Remote: true}},
			{late, "init krb5 token; reject token", gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Remote: true}},
		} {
			i, err := NewInitiator(tt.mech)
			must(t, err)
			conn := dialSample(t, server.Addr)
			_, err = gss.Initiate(t.Context(), conn, i, gss.Request{Target: gss.HostService(service)})
			var e *gss.Error
			if !errors.As(err, &e) || e.Major != tt.want.Major || e.Mech != tt.want.Mech || e.Remote != tt.want.Remote {
				t.Errorf("%v", err)
			}
			if got := strings.Join(conn.said, "; "); got != tt.said {
				t.Errorf("said %s\nwant %s", got, tt.said)
			}
		}
	})
}

// sampleConn is an initiator's connection to a sample server that notes the
// context tokens.
type sampleConn struct {
	*token.Conn
	t    testing.TB
	said []string
}

func dialSample(t testing.TB, addr string) *sampleConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	c, err := token.Config{Version: token.V2}.NewConn(conn)
	must(t, err)
	return &sampleConn{Conn: c, t: t}
}

func (c *sampleConn) ReadToken() ([]byte, error) {
	tok, err := c.Conn.ReadToken()
	if err == nil {
		c.said = append(c.said, describe(c.t, tok))
		c.t.Logf("received %s", hex.EncodeToString(tok[:min(len(tok), 48)]))
	}
	return tok, err
}

func (c *sampleConn) WriteToken(tok []byte) error {
	c.said = append(c.said, describe(c.t, tok))
	return c.Conn.WriteToken(tok)
}
