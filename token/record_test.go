package token_test

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-go/countersign/token"
)

var update = flag.Bool("update", false, "record the transcripts anew, with MIT's programs")

// recordings are the exchanges in testdata: the options of MIT's gss-client, and the frames that each side sends, by their
// flags and the first two bytes of their content: 60 and a length for the GSS-API framing of a context token, a1 for a later token of
// SPNEGO, 0504 and 0404 for what Wrap and GetMIC make (RFC 4121, section 4.2.6), 6865 for a bare "hello".
var recordings = []struct {
	name                string
	options             string
	initiator, acceptor string
}{
	{"default", "-mcount 2",
		"NOOP|CONTEXT_NEXT:empty CONTEXT:6082 DATA|WRAPPED|ENCRYPTED|SEND_MIC:0504 DATA|WRAPPED|ENCRYPTED|SEND_MIC:0504 NOOP:empty",
		"CONTEXT:6081 MIC:0404 MIC:0404"},
	{"nomutual", "-nomutual",
		"NOOP|CONTEXT_NEXT:empty CONTEXT:6082 DATA|WRAPPED|ENCRYPTED|SEND_MIC:0504 NOOP:empty",
		"MIC:0404"},
	{"plain", "-nw -nx -nm",
		"NOOP|CONTEXT_NEXT:empty CONTEXT:6082 DATA:6865 NOOP:empty",
		"CONTEXT:6081 NOOP:empty"},
	{"unauthenticated", "-na",
		"NOOP:empty DATA:6865 NOOP:empty",
		"NOOP:empty"},
	{"spnego", "-spnego",
		"NOOP|CONTEXT_NEXT:empty CONTEXT:6082 DATA|WRAPPED|ENCRYPTED|SEND_MIC:0504 NOOP:empty",
		"CONTEXT:a181 MIC:0404"},
	// MIT's server no longer speaks version 1: the client's side alone, which sends its message without an answer.
	{"v1", "-v1 -nomutual",
		"0:6082 0:0504",
		""},
}

// TestRecord makes the transcripts, if told to by
//
//	go test ./token -run TestRecord -update
//
// It needs MIT's krb5kdc, kdb5_util, kadmin.local, kinit, gss-client and gss-server (Debian: krb5-kdc, krb5-admin-server,
// krb5-user, krb5-gss-samples), makes a realm that is gone when it ends, and uses loopback alone.
func TestRecord(t *testing.T) {
	if !*update {
		t.Skip("records only with -update")
	}
	env := realm(t)
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			relay, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
			text := make(chan string, 1)
			go func() {
				defer close(text)
				near, err := relay.Accept()
				if err != nil {
					return
				}
				defer near.Close()
				if r.name == "v1" {
					text <- overhear(near)
				} else {
					text <- forward(near, server(t, env))
				}
			}()
			args := append([]string{"-port", port(relay)}, strings.Fields(r.options)...)
			client := exec.CommandContext(t.Context(), "gss-client", append(args, "localhost", "host@localhost", "hello")...)
			client.Env = env
			out, err := client.CombinedOutput()
			if err != nil && r.name != "v1" {
				t.Fatalf("%v\n%s", err, out)
			}
			relay.Close()
			said, ok := <-text
			if !ok {
				t.Fatalf("nothing recorded\n%s", out)
			}
			note := fmt.Sprintf("# gss-client %s localhost host@localhost hello\n# Recorded by: go test ./token -run TestRecord -update\n", r.options)
			if err := os.WriteFile(transcriptFile(r.name), []byte(note+said), 0o666); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// server starts MIT's gss-server for one session and connects to it.
func server(t *testing.T, env []string) net.Conn {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return nil
	}
	addr, p := free.Addr().String(), port(free)
	free.Close()
	cmd := exec.CommandContext(t.Context(), "gss-server", "-once", "-port", p, "host")
	cmd.Env = env
	if err := await(t, cmd, "starting..."); err != nil {
		t.Error(err)
		return nil
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	return c
}

// forward copies both directions until both have ended, and gives the transcript.
func forward(near, far net.Conn) string {
	if far == nil {
		return ""
	}
	defer far.Close()
	var mu sync.Mutex
	var text strings.Builder
	var sides sync.WaitGroup
	last := ""
	var flow []byte
	flush := func() {
		if len(flow) > 0 {
			fmt.Fprintf(&text, "%s\n%s", last, hex.Dump(flow))
		}
		flow = nil
	}
	relay := func(from, to net.Conn, side string) {
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			mu.Lock()
			if n > 0 && side != last {
				flush()
				last = side
			}
			flow = append(flow, buf[:n]...)
			mu.Unlock()
			to.Write(buf[:n])
			if err != nil {
				to.(*net.TCPConn).CloseWrite()
				return
			}
		}
	}
	sides.Go(func() { relay(near, far, initiatorSays) })
	sides.Go(func() { relay(far, near, acceptorSays) })
	sides.Wait()
	flush()
	return text.String()
}

// overhear takes the two tokens of a version 1 client that expects no context token back.
func overhear(near net.Conn) string {
	var said strings.Builder
	c := token.NewConn(struct {
		io.Reader
		io.Writer
	}{io.TeeReader(near, &said), near})
	for range 2 {
		if _, err := c.ReadFrame(); err != nil {
			return ""
		}
	}
	return initiatorSays + "\n" + hex.Dump([]byte(said.String()))
}

// realm starts a KDC with the user alice, who has a ticket, and the service host/localhost, and gives the environment in
// which they are found.
func realm(t *testing.T) []string {
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kdc := free.Addr().String()
	free.Close()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := append(os.Environ(),
		"KRB5_CONFIG="+write("krb5.conf", fmt.Sprintf(`[libdefaults]
 default_realm = EXAMPLE.ORG
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 EXAMPLE.ORG = {
  kdc = %s
 }
[domain_realm]
 localhost = EXAMPLE.ORG
[logging]
 kdc = STDERR
`, kdc)),
		"KRB5_KDC_PROFILE="+write("kdc.conf", fmt.Sprintf(`[kdcdefaults]
 kdc_listen = %[1]s
 kdc_tcp_listen = %[1]s
[realms]
 EXAMPLE.ORG = {
  database_name = %[2]s/principal
  key_stash_file = %[2]s/stash
  acl_file = %[2]s/acl
 }
`, kdc, dir)),
		"KRB5CCNAME=FILE:"+filepath.Join(dir, "ccache"),
		"KRB5_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5RCACHEDIR="+dir,
	)
	run := func(stdin string, name string, args ...string) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = env
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("", "kdb5_util", "create", "-s", "-P", "master", "-r", "EXAMPLE.ORG")
	run("", "kadmin.local", "addprinc", "-pw", "secret", "alice")
	run("", "kadmin.local", "addprinc", "-randkey", "host/localhost")
	run("", "kadmin.local", "ktadd", "host/localhost")
	cmd := exec.CommandContext(t.Context(), "krb5kdc", "-n", "-P", filepath.Join(dir, "pid"))
	cmd.Env = env
	if err := await(t, cmd, "commencing operation"); err != nil {
		t.Fatal(err)
	}
	run("secret\n", "kinit", "alice")
	return env
}

// await starts a program that says on its standard error when it is ready. It is stopped when the test ends.
func await(t *testing.T, cmd *exec.Cmd, ready string) error {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			go io.Copy(io.Discard, stderr)
			return nil
		}
	}
	return fmt.Errorf("%s ended without saying %q", cmd.Path, ready)
}

func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}
