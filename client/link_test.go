package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/clienttest"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A link is the connection and its context, for any protocol; here for the one
// of sessions.
func TestEstablish(t *testing.T) {
	server, cfg := newRealm(t).serve(t, clienttest.Honest)
	opened := ""
	cfg.Open = func(ctx context.Context, addr string) (net.Conn, error) {
		opened = addr
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	before := time.Now()
	link, err := client.Establish(t.Context(), cfg)
	check(t, err)
	if opened != server.Addr() {
		t.Errorf("opened %q", opened)
	}
	info := link.Context.Inquire()
	if !info.Established || !info.Local || info.Flags&gss.DefaultFlags != gss.DefaultFlags {
		t.Errorf("%+v", info)
	}
	first := link.LastReceived()
	if first.Before(before) || first.After(time.Now()) {
		t.Errorf("last received at %v", first)
	}
	msg := []byte("hello")
	wrapped, err := link.Context.Wrap(nil, msg, true)
	check(t, err)
	check(t, link.Frames.WriteFrame(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, wrapped))
	frame, err := link.Frames.ReadFrame()
	check(t, err)
	check(t, link.Context.VerifyMIC(msg, frame.Data))
	if !link.LastReceived().After(first) {
		t.Error("the answer was not noticed")
	}
	check(t, link.Close())
	if _, err := link.Context.Wrap(nil, msg, true); err == nil {
		t.Error("the context of a closed link wraps")
	}
}

// A link without a context makes no sense, and an Open that fails is a failure to
// connect.
func TestEstablishRefused(t *testing.T) {
	_, good := newRealm(t).serve(t, clienttest.Honest)
	for name, spoil := range map[string]func(*client.Config){
		"unauthenticated": func(c *client.Config) { *c = client.Config{Addr: c.Addr, Unauthenticated: true} },
		"unwrapped":       func(c *client.Config) { c.Unwrapped = true },
		"unencrypted":     func(c *client.Config) { c.Unencrypted = true },
		"no MIC":          func(c *client.Config) { c.NoMIC = true },
		"no address":      func(c *client.Config) { c.Addr = "" },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := client.Establish(t.Context(), cfg); err == nil {
			t.Errorf("%s: a link", name)
		}
	}
	cfg := good
	closed := errors.New("closed today")
	cfg.Open = func(context.Context, string) (net.Conn, error) { return nil, closed }
	_, err := client.Establish(t.Context(), cfg)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Step != client.Connecting || !errors.Is(err, closed) {
		t.Errorf("%v", err)
	}
}
