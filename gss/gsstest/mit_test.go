package gsstest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// mit is a realm with a directory in which MIT's programs find their files.
type mit struct {
	*gsstest.Realm
	dir string
	env []string
}

// needPrograms skips the test when one of MIT's programs is not installed. CI
// installs them, so there it is a failure.
func needPrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", program)
			}
			t.Skipf("left out, since it is not installed: %s", program)
		}
	}
}

// newMIT runs a realm with the user alice (password "secret") and the service
// host/localhost.
func newMIT(t *testing.T, config gsstest.Config) *mit {
	t.Helper()
	m := &mit{Realm: newRealm(t, config), dir: t.TempDir()}
	for name, value := range map[string]string{
		"KRB5_CONFIG":   m.write(t, "krb5.conf", m.Krb5Conf()),
		"KRB5_KTNAME":   "FILE:" + m.write(t, "service.keytab", must(m.Keytab("host/localhost"))),
		"KRB5CCNAME":    "FILE:" + filepath.Join(m.dir, "ccache"),
		"KRB5RCACHEDIR": m.dir,
		"LC_ALL":        "C",
		"TZ":            "UTC",
		"PATH":          os.Getenv("PATH"),
	} {
		m.env = append(m.env, name+"="+value)
	}
	return m
}

func newRealm(t *testing.T, config gsstest.Config) *gsstest.Realm {
	t.Helper()
	config.OnEvent = func(e gsstest.Event) { t.Logf("%+v", e) }
	if config.Name == "" {
		config.Name = "EXAMPLE.TEST"
	}
	realm, err := gsstest.NewRealm(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.Close)
	if err := realm.AddUser("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := realm.AddService("host/localhost"); err != nil {
		t.Fatal(err)
	}
	return realm
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func (m *mit) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (m *mit) command(ctx context.Context, stdin string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = m.env
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// try runs a program and returns whatever it printed.
func (m *mit) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := m.command(ctx, stdin, args...).CombinedOutput()
	t.Logf("%s: %v\n%s", strings.Join(args, " "), err, out)
	return string(out), err
}

// run is try for a program that must succeed and print all of want.
func (m *mit) run(t *testing.T, stdin string, args []string, want ...string) string {
	t.Helper()
	out, err := m.try(t, stdin, args...)
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("%s did not print %q", args[0], text)
		}
	}
	return out
}

// fail is try for a program that must fail and print want.
func (m *mit) fail(t *testing.T, stdin string, args []string, want string) {
	t.Helper()
	out, err := m.try(t, stdin, args...)
	if err == nil {
		t.Fatalf("%s succeeded", args[0])
	}
	if !strings.Contains(out, want) {
		t.Errorf("%s did not print %q", args[0], want)
	}
}

func TestMITPassword(t *testing.T) {
	needPrograms(t, "kinit", "klist", "kvno")
	m := newMIT(t, gsstest.Config{})
	m.run(t, "secret\n", []string{"kinit", "-f", "-r", "2d", "alice"})
	out := m.run(t, "", []string{"klist", "-f", "-e"},
		"Default principal: alice@EXAMPLE.TEST", "krbtgt/EXAMPLE.TEST@EXAMPLE.TEST", "renew until")
	if !strings.Contains(out, "Flags: FRIA") {
		t.Error("ticket is not forwardable, renewable, initial and pre-authenticated")
	}
	m.run(t, "", []string{"kvno", "host/localhost"}, "host/localhost@EXAMPLE.TEST: kvno = 1")
	m.run(t, "", []string{"kinit", "-R"})
	m.run(t, "", []string{"klist", "-f"}, "Flags: FR")
	m.fail(t, "wrong\n", []string{"kinit", "alice"}, "Password incorrect")
	m.fail(t, "secret\n", []string{"kinit", "bob"}, "Client 'bob@EXAMPLE.TEST' not found in Kerberos database")
	m.fail(t, "", []string{"kvno", "host/elsewhere"}, "Server host/elsewhere@EXAMPLE.TEST not found in Kerberos database")
}

func TestMITKeytab(t *testing.T) {
	needPrograms(t, "kinit", "klist", "kvno")
	m := newMIT(t, gsstest.Config{})
	if err := m.Rekey("host/localhost"); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(m.dir, "service.keytab")
	keytab := m.write(t, "new.keytab", must(m.Keytab("host/localhost", "alice")))
	m.run(t, "", []string{"klist", "-k", "-e", keytab}, "   1 host/localhost@EXAMPLE.TEST (aes256-cts-hmac-sha1-96)",
		"   2 host/localhost@EXAMPLE.TEST (aes128-cts-hmac-sha256-128)", "   1 alice@EXAMPLE.TEST")
	m.run(t, "", []string{"kinit", "-k", "-t", keytab, "host/localhost"})
	m.run(t, "", []string{"kinit", "-k", "-t", keytab, "alice"})
	m.run(t, "", []string{"kvno", "-k", keytab, "host/localhost"}, "kvno = 2, keytab entry valid")
	m.fail(t, "", []string{"kvno", "-k", old, "host/localhost"}, "kvno = 2")
	m.fail(t, "", []string{"kinit", "-k", "-t", old, "host/localhost"}, "reauthentication failed")
}

func TestMITEnctypes(t *testing.T) {
	needPrograms(t, "kinit", "klist", "kvno")
	names := map[int32]string{
		17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96",
		19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192",
	}
	for enctype, name := range names {
		t.Run(name, func(t *testing.T) {
			m := newMIT(t, gsstest.Config{Enctypes: []int32{enctype}})
			m.run(t, "secret\n", []string{"kinit", "alice"})
			m.run(t, "", []string{"kvno", "-k", filepath.Join(m.dir, "service.keytab"), "host/localhost"}, "keytab entry valid")
			out := m.run(t, "", []string{"klist", "-e"})
			if want := fmt.Sprintf("Etype (skey, tkt): %s, %s", name, name); strings.Count(out, want) != 2 {
				t.Errorf("klist did not print %q twice", want)
			}
		})
	}
}

// TestMITMintedCache gives MIT's programs a cache that no kinit has made.
func TestMITMintedCache(t *testing.T) {
	needPrograms(t, "klist", "kvno")
	m := newMIT(t, gsstest.Config{})
	m.write(t, "ccache", must(m.CCache("alice", "host/localhost")))
	m.run(t, "", []string{"klist", "-f"}, "Default principal: alice@EXAMPLE.TEST", "host/localhost@EXAMPLE.TEST")
	before := m.Stats().TGS
	m.run(t, "", []string{"kvno", "-k", filepath.Join(m.dir, "service.keytab"), "host/localhost"}, "keytab entry valid")
	if got := m.Stats().TGS; got != before {
		t.Error("kvno asked the KDC although the cache holds the ticket")
	}
	if err := m.AddService("http/web.example.test"); err != nil {
		t.Fatal(err)
	}
	m.run(t, "", []string{"kvno", "http/web.example.test"}, "kvno = 1")
	if got := m.Stats().TGS; got == before {
		t.Error("kvno did not use the minted ticket-granting ticket")
	}
}

func TestMITFaults(t *testing.T) {
	needPrograms(t, "kinit", "klist", "kvno")
	m := newMIT(t, gsstest.Config{})
	if err := m.AddService("host/other"); err != nil {
		t.Fatal(err)
	}
	kinit := []string{"kinit", "alice"}

	m.SetFaults(gsstest.Faults{TooBigForUDP: true})
	before := m.Stats().TCP
	m.run(t, "secret\n", kinit)
	if m.Stats().TCP == before {
		t.Error("kinit did not come back over TCP")
	}
	m.SetFaults(gsstest.Faults{Unknown: []string{"host/localhost"}})
	m.fail(t, "", []string{"kvno", "host/localhost"}, "not found in Kerberos database")
	m.SetFaults(gsstest.Faults{Unknown: []string{"alice@EXAMPLE.TEST"}})
	m.fail(t, "secret\n", kinit, "not found in Kerberos database")
	m.SetFaults(gsstest.Faults{WrongKey: true})
	m.fail(t, "", []string{"kvno", "-k", filepath.Join(m.dir, "service.keytab"), "host/localhost"}, "kvno = 1, keytab entry invalid")
	m.SetFaults(gsstest.Faults{ErrorCode: 18})
	m.fail(t, "secret\n", kinit, "credentials have been revoked")
	m.SetFaults(gsstest.Faults{ClockOffset: -time.Hour})
	m.fail(t, "", []string{"kvno", "host/other"}, "kew too great")
	m.SetFaults(gsstest.Faults{})
	m.run(t, "", []string{"kvno", "host/other"}, "kvno = 1")
}

// TestMITSample runs MIT's own pair of GSS-API programs, with delegation.
func TestMITSample(t *testing.T) {
	needPrograms(t, "kinit", "gss-server", "gss-client")
	m := newMIT(t, gsstest.Config{})
	m.run(t, "secret\n", []string{"kinit", "-f", "alice"})

	port := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := m.command(ctx, "", "gss-server", "-port", port, "-verbose", "-once", "host@localhost")
	var stdout bytes.Buffer
	server.Stdout = &stdout
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, stderr, "starting...")
	m.run(t, "", []string{"gss-client", "-d", "-port", port, "localhost", "host@localhost", "hello"}, "Signature verified.")
	if err := server.Wait(); err != nil {
		t.Errorf("gss-server: %v", err)
	}
	for _, want := range []string{`Accepted connection: "alice@EXAMPLE.TEST"`, `Received message: "hello"`, "GSS_C_DELEG_FLAG"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("gss-server did not print %q but:\n%s", want, stdout.String())
		}
	}
}
