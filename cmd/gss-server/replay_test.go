//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// MIT's gss-server, ours, and ours from inetd share one replay cache file: what
// any of them accepted all of them refuse, a process of the same kind included.
func TestReplayCacheShared(t *testing.T) {
	const theirs = "/usr/bin/gss-server" // PATH finds ours first
	mitrealm.Need(t, "gss-client", theirs)
	for _, enctype := range []string{"aes256-cts-hmac-sha1-96", "aes256-cts-hmac-sha384-192"} {
		t.Run(enctype, func(t *testing.T) {
			realm := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype}})
			realm.Kinit("alice")
			env := append(realm.Env(), "KRB5RCACHENAME=file2:"+filepath.Join(realm.Dir, "shared"))

			// Each gives a server of one connection, a connection to it, and
			// where it says what went wrong.
			type server func(t *testing.T) (p *process, conn net.Conn, said func() string)
			servers := map[string]server{
				"MIT's": func(t *testing.T) (*process, net.Conn, func() string) {
					port := freePort(t)
					p := prepare(t, env, theirs, "-port", port, "-once", "host@localhost")
					p.run(t)
					p.await(t, "starting...", 1)
					return p, dial(t, "127.0.0.1:"+port), p.stdout.String
				},
				"ours": func(t *testing.T) (*process, net.Conn, func() string) {
					p := start(t, env, "-once", "host@localhost")
					return p, dial(t, p.address), p.errors
				},
				"inetd's": func(t *testing.T) (*process, net.Conn, func() string) {
					log := filepath.Join(t.TempDir(), "log")
					p, conn := inetd(t, env, "-logfile", log, "host@localhost")
					return p, conn, func() string { return read(t, log) }
				},
			}
			for first, serve := range servers {
				p, conn, said := serve(t)
				opening, out := relay(t, realm, conn)
				if code := p.wait(t); code != 0 || !strings.Contains(out, "Signature verified.") {
					t.Fatalf("%s: exit code %d, %s\nThe client printed\n%s", first, code, said(), out)
				}
				for next, serve := range servers {
					p, conn, said := serve(t)
					// A server that took it would be told the end.
					if _, err := conn.Write(append(opening, 1, 0, 0, 0, 0)); err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, conn) // an error token or none, and the end
					_ = conn.Close()
					p.wait(t)
					if text := said(); !strings.Contains(text, "Request is a replay") {
						t.Errorf("%s did not refuse what %s had accepted: %s", next, first, text)
					}
				}
			}
			if info, err := os.Stat(filepath.Join(realm.Dir, "shared")); err != nil || info.Size() == 0 {
				t.Errorf("the shared file: %v, %v", info, err)
			}
		})
	}
}

// relay lets MIT's client talk over the connection to a server. It gives what
// the client sent up to its context token, and what it printed.
func relay(t *testing.T, realm *mitrealm.Realm, server net.Conn) (opening []byte, out string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var sent bytes.Buffer
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		client, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		_, _ = io.Copy(server, io.TeeReader(client, &sent))
		_ = server.Close()
	}()
	out = clientOf(t, realm, l.Addr().String(), "", "hello")
	_ = l.Close()
	<-relayed

	// Two frames of flags, length and data: the greeting and the token.
	b := sent.Bytes()
	for range 2 {
		if len(b) < 5 || uint64(len(b)) < 5+uint64(binary.BigEndian.Uint32(b[1:])) {
			t.Fatalf("the client sent %x", sent.Bytes())
		}
		b = b[5+binary.BigEndian.Uint32(b[1:]):]
	}
	opening = sent.Bytes()[:sent.Len()-len(b)]
	return slices.Clip(opening), out
}
