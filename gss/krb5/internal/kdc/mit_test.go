package kdc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// mitRealm is a throwaway realm served by MIT's krb5kdc.
type mitRealm struct {
	t    *testing.T
	name string
	dir  string
	port int
	env  []string
}

// needPrograms skips the test, or fails it in CI, where programs are missing.
func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if _, err := os.Stat("/usr/sbin/" + n); err == nil {
				continue
			}
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", n)
			}
			t.Skipf("%s is not installed: exchanges with MIT's KDC are left out", n)
		}
	}
}

// freePort finds a port that is free for UDP and TCP, below those that the
// system hands out, so that no other connection takes it before the KDC does: krb5kdc
// does not refuse a port in use.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(20000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// newMITRealm makes the database; serve starts the KDC.
func newMITRealm(t *testing.T, name string, extra string) *mitRealm {
	t.Helper()
	needPrograms(t, "krb5kdc", "kadmin.local", "kdb5_util")
	r := &mitRealm{t: t, name: name, dir: t.TempDir(), port: freePort(t)}
	r.write("krb5.conf", fmt.Sprintf(`[libdefaults]
 default_realm = %[1]s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 %[1]s = {
  kdc = 127.0.0.1:%[2]d
 }
`, name, r.port))
	r.write("kdc.conf", fmt.Sprintf(`[kdcdefaults]
 kdc_listen = 127.0.0.1:%[3]d
 kdc_tcp_listen = 127.0.0.1:%[3]d
[realms]
 %[1]s = {
  database_name = %[2]s/principal
  key_stash_file = %[2]s/stash
  acl_file = %[2]s/acl
  max_renewable_life = 7d
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal
%[4]s
 }
[logging]
 kdc = STDERR
`, name, r.dir, r.port, extra))
	r.env = append(os.Environ(),
		"PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin",
		"KRB5_CONFIG="+filepath.Join(r.dir, "krb5.conf"),
		"KRB5_KDC_PROFILE="+filepath.Join(r.dir, "kdc.conf"),
		"KRB5CCNAME=FILE:"+filepath.Join(r.dir, "cc"),
		"KRB5RCACHEDIR="+r.dir)
	r.run("kdb5_util", "create", "-s", "-P", "masterpw", "-r", name)
	return r
}

func (r *mitRealm) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *mitRealm) command(name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
	}
	cmd := exec.Command(path, args...)
	cmd.Env = r.env
	return cmd
}

func (r *mitRealm) run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.command(name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (r *mitRealm) admin(queries ...string) {
	r.t.Helper()
	cmd := r.command("kadmin.local", "-r", r.name)
	cmd.Stdin = strings.NewReader(strings.Join(queries, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("while ")) {
		r.t.Fatalf("kadmin.local: %v\n%s", err, out)
	}
}

// serve starts the KDC and waits until it says that it works.
func (r *mitRealm) serve() {
	r.t.Helper()
	cmd := r.command("krb5kdc", "-n", "-r", r.name, "-P", filepath.Join(r.dir, "kdc.pid"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan string, 1)
	go func() {
		var log strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if strings.Contains(lines.Text(), "commencing operation") {
				close(ready)
			}
		}
		cmd.Wait()
		ended <- log.String()
	}()
	select {
	case <-ready:
	case log := <-ended:
		r.t.Fatalf("krb5kdc ended:\n%s", log)
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		r.t.Fatalf("krb5kdc did not start:\n%s", <-ended)
	}
	r.t.Cleanup(func() {
		cmd.Process.Kill()
		if log := <-ended; r.t.Failed() {
			r.t.Logf("KDC of %s:\n%s", r.name, log)
		}
	})
}

func (r *mitRealm) profile(more string) *krb5conf.Profile {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "krb5.conf"))
	if err != nil {
		r.t.Fatal(err)
	}
	return parseProfile(r.t, string(text)+more)
}

func parseProfile(t *testing.T, text string) *krb5conf.Profile {
	t.Helper()
	p, err := krb5conf.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *mitRealm) user(components ...string) Principal {
	return Principal{Type: NTPrincipal, Components: components, Realm: r.name}
}

func (r *mitRealm) host(name string) Principal {
	return Principal{Type: NTSrvHst, Components: []string{"host", name}, Realm: r.name}
}

// keytabKeys reads the keys of a principal's newest kvno from a keytab that
// ktadd wrote, format 0x0502.
func keytabKeys(t *testing.T, file, principal string) []Key {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var keys []Key
	newest := byte(0)
	for b = b[2:]; len(b) > 4; {
		n := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if n < 0 {
			b = b[-n:]
			continue
		}
		e := b[:n]
		b = b[n:]
		parts := int(binary.BigEndian.Uint16(e))
		e = e[2:]
		var names []string
		for range parts + 1 {
			l := binary.BigEndian.Uint16(e)
			names = append(names, string(e[2:2+l]))
			e = e[2+l:]
		}
		if strings.Join(names[1:], "/")+"@"+names[0] != principal {
			continue
		}
		e = e[8:] // name type, time
		kvno := e[0]
		etype, l := binary.BigEndian.Uint16(e[1:]), binary.BigEndian.Uint16(e[3:])
		if kvno > newest {
			newest, keys = kvno, nil
		}
		if kvno == newest {
			keys = append(keys, Key{Etype: int32(etype), Value: bytes.Clone(e[5 : 5+l])})
		}
	}
	if len(keys) == 0 {
		t.Fatalf("no keys of %s in keytab", principal)
	}
	return keys
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
