package rcache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
)

// realm is a KDC of MIT's with alice and host/localhost, and alice's ticket, all in one directory.
type realm struct {
	env []string
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	for _, program := range []string{"kdb5_util", "kadmin.local", "krb5kdc", "kinit", "gss-server", "gss-client"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing (krb5-kdc, krb5-admin-server, krb5-user, krb5-gss-samples)", program)
			}
			t.Skipf("left out: %s is missing (krb5-kdc, krb5-admin-server, krb5-user, krb5-gss-samples)", program)
		}
	}
	dir := t.TempDir()
	kdc := freePort(t)
	file := func(name, format string, args ...any) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r := new(realm)
	r.env = append(os.Environ(),
		"KRB5_CONFIG="+file("krb5.conf", `[libdefaults]
 default_realm = R.TEST
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 R.TEST = {
  kdc = %s
 }
[domain_realm]
 localhost = R.TEST
`, kdc),
		"KRB5_KDC_PROFILE="+file("kdc.conf", `[kdcdefaults]
 kdc_listen = %s
 kdc_tcp_listen = %s
[realms]
 R.TEST = {
  database_name = %s/db
  key_stash_file = %s/stash
  acl_file = %s/acl
  supported_enctypes = aes256-cts:normal
 }
`, kdc, kdc, dir, dir, dir),
		"KRB5CCNAME=FILE:"+filepath.Join(dir, "cc"), "KRB5_KTNAME=FILE:"+filepath.Join(dir, "kt"))
	r.run(t, "", "kdb5_util", "create", "-s", "-P", "masterpw", "-r", "R.TEST")
	r.run(t, "", "kadmin.local", "-q", "addprinc -pw alicepw alice")
	r.run(t, "", "kadmin.local", "-q", "addprinc -randkey host/localhost")
	r.run(t, "", "kadmin.local", "-q", "ktadd -k "+filepath.Join(dir, "kt")+" host/localhost")
	r.start(t, "krb5kdc", "-n", "-P", filepath.Join(dir, "pid"))
	r.run(t, "alicepw\n", "kinit", "alice")
	return r
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *realm) run(t *testing.T, input, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Stdin = r.env, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, out)
	}
}

// start starts a server and waits until it says "starting...".
func (r *realm) start(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = r.env
	pipe, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		pipe.Close()
	})
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s ended before it was ready: %v", program, err)
		}
		if strings.Contains(line, "starting...") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
}

// client runs gss-client against the server through a relay, which hands the AP-REQ token over before the server gets it.
func (r *realm) client(t *testing.T, server string, seen func(token []byte)) (string, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s, err := net.Dial("tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		wg.Go(func() {
			_, _ = io.Copy(c, s)
			c.Close()
		})
		for {
			frame, err := readFrame(c)
			if err != nil {
				_ = s.(*net.TCPConn).CloseWrite()
				return
			}
			if frame[0] == 2 && seen != nil {
				seen(frame[5:])
				seen = nil
			}
			if _, err := s.Write(frame); err != nil {
				return
			}
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gss-client", "-port", port, "localhost", "host@localhost", "hello")
	cmd.Env = r.env
	out, err := cmd.CombinedOutput()
	l.Close()
	wg.Wait()
	return string(out), err
}

// readFrame reads flags, length and data of the sample protocol.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 5)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(frame[1:])
	if n > 1<<20 {
		return nil, errors.New("frame too long")
	}
	frame = append(frame, make([]byte, n)...)
	_, err := io.ReadFull(r, frame[5:])
	return frame, err
}

// tagOf takes the tag out of an initial context token.
func tagOf(t *testing.T, token []byte) []byte {
	t.Helper()
	oid := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2, 1, 0} // and the token's id
	_, der, found := bytes.Cut(token, oid)
	if !found {
		t.Fatalf("no AP-REQ in %x", token)
	}
	var req messages.APReq
	if err := req.Unmarshal(der); err != nil {
		t.Fatal(err)
	}
	cipher := req.EncryptedAuthenticator.Cipher
	return cipher[len(cipher)-12:]
}

// What MIT's server has accepted is a replay here, and what is stored here is one to MIT's server: in a named file and in the
// default one.
func TestSharedWithMIT(t *testing.T) {
	r := newRealm(t)
	for _, name := range []string{"file2:", "dfl:"} {
		t.Run(strings.TrimSuffix(name, ":"), func(t *testing.T) {
			dir := t.TempDir()
			server := &realm{env: append(r.env, "KRB5RCACHEDIR="+dir)}
			t.Setenv("KRB5RCACHEDIR", dir)
			if name == "file2:" {
				name += filepath.Join(dir, "rc")
				server.env = append(server.env, "KRB5RCACHENAME="+name)
			}
			address := freePort(t)
			_, port, _ := net.SplitHostPort(address)
			server.start(t, "gss-server", "-port", port, "host@localhost")

			ours, err := Open(name, Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer ours.(io.Closer).Close()

			var accepted []byte
			if out, err := r.client(t, address, func(token []byte) { accepted = token }); err != nil || !strings.Contains(out, "Signature verified.") {
				t.Fatalf("the first context: %v: %s", err, out)
			}
			want(t, "what MIT's server accepted", ours.Store(tagOf(t, accepted), time.Now()), ErrReplay)

			out, err := r.client(t, address, func(token []byte) {
				want(t, "a new token", ours.Store(tagOf(t, token), time.Now()), nil)
			})
			if err == nil || !strings.Contains(out, "Request is a replay") {
				t.Errorf("MIT's server took what is stored here: %v: %s", err, out)
			}

			// With thousands of ours in the file MIT's server still finds its way: into the third table and back.
			for i := range 5000 {
				want(t, "filling", ours.Store(tag(i), time.Now()), nil)
			}
			if out, err := r.client(t, address, func(token []byte) { accepted = token }); err != nil {
				t.Fatalf("the next context: %v: %s", err, out)
			}
			want(t, "what MIT's server accepted after that", ours.Store(tagOf(t, accepted), time.Now()), ErrReplay)
		})
	}
}
