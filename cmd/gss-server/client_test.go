package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

// initiator makes contexts as the user of the realm's credential cache.
func initiator(t *testing.T, conf, ccache string) *krb5.Initiator {
	t.Helper()
	profile, err := krb5.ReadProfile(conf)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := krb5.OpenCache("FILE:" + ccache)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Profile: profile, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	mech, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	if err != nil {
		t.Fatal(err)
	}
	return mech
}

// alice is an initiator with a ticket of the embedded realm.
func (r *realm) alice(t *testing.T) *krb5.Initiator {
	t.Helper()
	cache, err := r.CCache("alice", "host/localhost")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ccache")
	if err := os.WriteFile(file, cache, 0o600); err != nil {
		t.Fatal(err)
	}
	return initiator(t, r.conf, file)
}

// A session is the client's end of one.
type session struct {
	conn net.Conn
	tok  *token.Conn
	sec  gss.Context
}

// establish connects and establishes a context.
func establish(t *testing.T, mech *krb5.Initiator, address string) *session {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	tok, err := token.Config{Version: token.V2}.NewConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.WriteFrame(token.NOOP|token.ContextNext, nil); err != nil {
		t.Fatal(err)
	}
	sec, err := gss.Initiate(t.Context(), tok, mech, gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		t.Fatal(err)
	}
	return &session{conn, tok, sec}
}

// sign has a message signed and verifies the MIC.
func (s *session) sign(t *testing.T, msg string) {
	t.Helper()
	wrapped, err := s.sec.Wrap(nil, []byte(msg), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tok.WriteFrame(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, wrapped); err != nil {
		t.Fatal(err)
	}
	reply, err := s.tok.ReadFrame()
	if err != nil || reply.Flags != token.MIC {
		t.Fatalf("reply %v, %v", reply.Flags, err)
	}
	if err := s.sec.VerifyMIC([]byte(msg), reply.Data); err != nil {
		t.Error(err)
	}
}

// end ends the session as the protocol has it.
func (s *session) end(t *testing.T) {
	t.Helper()
	if err := s.tok.WriteFrame(token.NOOP, nil); err != nil {
		t.Error(err)
	}
	_ = s.conn.Close()
}
