package natsbus_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
)

// A configuration that cannot be meant is refused before anything is done, and
// no error has the password in it.
func TestConfigRefused(t *testing.T) {
	const nats = "nats://127.0.0.1:4222"
	for _, tt := range []struct {
		cfg  natsbus.Config
		want string
	}{
		{natsbus.Config{}, "no URL"},
		{natsbus.Config{Servers: " , "}, "no URL"},
		{natsbus.Config{Servers: "127.0.0.1:4222"}, "not a URL"},
		{natsbus.Config{Servers: "localhost"}, "neither with nats:// nor with tls://"},
		{natsbus.Config{Servers: nats + ",ws://user:secret@host"}, "server 2: URL that begins neither"},
		{natsbus.Config{Servers: "nats://user:sec ret@host"}, "server 1: not a URL"},
		{natsbus.Config{Servers: "nats://user:secret%@host:1"}, "%25"},
		{natsbus.Config{Servers: nats + ",nats://user:secret"}, "server 2: not a URL"},
		{natsbus.Config{Servers: "user:secret@host"}, "neither with"},
		{natsbus.Config{Servers: "nats://user:secret@host:port"}, "not a URL"},
		{natsbus.Config{Servers: "nats://user:se/cret@host"}, "not a URL"},
		{natsbus.Config{Servers: "nats://user:secret@"}, "without a host"},
		{natsbus.Config{Servers: "nats://user:secret@host:1/x"}, "what follows host:1 is not"},
		{natsbus.Config{Servers: "nats://user:secret@host?secret"}, "what follows host is not"},
		{natsbus.Config{Servers: strings.Repeat(nats+",", 17)}, "at most 16"},
		{natsbus.Config{Servers: nats, CredentialsFile: "/nowhere/x.creds"}, "NATS credentials: open /nowhere/x.creds"},
		{natsbus.Config{Servers: nats, Prefix: "a..b"}, "empty between dots"},
		{natsbus.Config{Servers: nats, Prefix: "a.*"}, `"*" in it`},
		{natsbus.Config{Servers: nats, Prefix: "a b"}, `" " in it`},
		{natsbus.Config{Servers: nats, Prefix: strings.Repeat("a", 257)}, "longer"},
		{natsbus.Config{Servers: nats, MaxData: 1<<20 + 1}, "at most 1048576"},
		{natsbus.Config{Servers: nats, MaxData: -1}, "octets of data"},
		{natsbus.Config{Servers: nats, ConnectTimeout: -1}, "negative time to connect"},
		{natsbus.Config{Servers: nats, SendTimeout: -1}, "negative time for answers"},
	} {
		_, err := natsbus.New(tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "sec") {
			t.Errorf("error with a password: %v", err)
		}
	}
}

// fakeServer is somebody who says something to each who connects, and then nothing.
func fakeServer(t *testing.T, says string) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, says)
		}
	}()
	return "nats://user:secret@" + l.Addr().String()
}

// Joining fails in time, and says why and where.
func TestJoinFails(t *testing.T) {
	c := natstest.New(t, 1, `authorization: { users: [
		{user: "ours", password: "s3cret", permissions: {publish: "countersign.push.v1.>", subscribe: "countersign.push.v1.>"}},
		{user: "reader", password: "s3cret", permissions: {publish: {deny: ">"}}},
		{user: "writer", password: "s3cret", permissions: {subscribe: {deny: "countersign.push.v1.groups"}}},
	]}`, "max_payload: 100000")
	at := func(user string) string { return strings.Replace(c.URLs(), "nats://", "nats://"+user+"@", 1) }
	const info = `INFO {"server_id":"x","proto":1,"headers":true,"max_payload":8388608}` + "\r\n"
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "nats://user:secret@" + free.Addr().String()
	free.Close()
	creds := filepath.Join(t.TempDir(), "x.creds")
	if err := os.WriteFile(creds, []byte("secret nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		cfg  natsbus.Config
		want string // "" is success
	}{
		{"as allowed", natsbus.Config{Servers: at("ours:s3cret")}, ""},
		{"the second server", natsbus.Config{Servers: nobody + "," + at("ours:s3cret") + "," + nobody}, ""},
		{"no user", natsbus.Config{Servers: at("")}, "Authorization Violation"},
		{"wrong password", natsbus.Config{Servers: at("ours:secret")}, "Authorization Violation"},
		{"may not publish", natsbus.Config{Servers: at("reader:s3cret")}, "countersign.push.v1.> has to be allowed"},
		{"may not subscribe", natsbus.Config{Servers: at("writer:s3cret")}, `Subscription to "countersign.push.v1.groups"`},
		{"other prefix", natsbus.Config{Servers: at("ours:s3cret"), Prefix: "other"}, "other.v1.> has to be allowed"},
		{"messages too long", natsbus.Config{Servers: at("ours:s3cret"), MaxData: 100000}, "takes messages of 100000 octets at most"},
		{"no credentials in the file", natsbus.Config{Servers: at("ours:s3cret"), CredentialsFile: creds}, "nkeys"},
		{"no TLS there", natsbus.Config{Servers: strings.Replace(at("ours:s3cret"), "nats:", "tls:", 1)}, "secure connection not available"},
		{"nobody there", natsbus.Config{Servers: nobody}, "connection refused"},
		{"silence", natsbus.Config{Servers: fakeServer(t, "")}, "i/o timeout"},
		{"half a greeting", natsbus.Config{Servers: fakeServer(t, info)}, "i/o timeout"},
		{"another protocol", natsbus.Config{Servers: fakeServer(t, "220 smtp\r\n")}, "not the protocol of NATS"},
		{"endless greeting", natsbus.Config{Servers: fakeServer(t, "INFO {"+strings.Repeat("x", 100<<10))}, "not the protocol of NATS"},
		{"an ancient server", natsbus.Config{Servers: fakeServer(t, strings.Replace(info, "true", "false", 1)+"PONG\r\n")}, "2.2 or later"},
		{"one that takes short messages", natsbus.Config{Servers: fakeServer(t, `INFO {"proto":1,"headers":true}`+"\r\nPONG\r\n")}, "takes messages of 0 octets"},
		{"message before the greeting", natsbus.Config{Servers: fakeServer(t, "MSG a 1 9223372036854775807\r\n")}, "a size that cannot be"},
		{"more than there is room for", natsbus.Config{Servers: fakeServer(t, info+"PONG\r\nMSG a 1 9223372036854775807\r\nx")}, "a size that cannot be"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			tt.cfg.ConnectTimeout = 900 * time.Millisecond
			if tt.want == "" {
				tt.cfg.ConnectTimeout = patience
			}
			if tt.cfg.MaxData == 0 {
				tt.cfg.MaxData = 16 << 10
			}
			b, err := natsbus.New(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			err = b.Join(&hub{t: t, changed: make(chan struct{})})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			case err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("error with a password: %v", err)
			case err != nil && !strings.Contains(err.Error(), "127.0.0.1:"):
				t.Errorf("error without a server: %v", err)
			}
		})
	}
}
