package mitrealm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

func TestSampleProgramsTalk(t *testing.T) {
	t.Parallel()
	mitrealm.Need(t, "gss-client", "gss-server", "kvno")
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kinit("alice")
	if got, want := output(t, realm.Command("kvno", "host/localhost")), "host/localhost@MIT.TEST: kvno = 2\n"; got != want {
		t.Errorf("kvno printed %q, want %q", got, want)
	}

	server := realm.GSSServer("-once", "host@localhost")
	client := output(t, realm.Command("gss-client", "-port", server.Port, server.Host, "host@localhost", "hello"))
	if !strings.Contains(client, "Signature verified.") {
		t.Errorf("the client printed:\n%s", client)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	for _, want := range []string{`Accepted connection: "alice@MIT.TEST"`, `Received message: "hello"`} {
		if !strings.Contains(server.Output(), want) {
			t.Errorf("the server did not print %s but:\n%s", want, server.Output())
		}
	}
}

func TestEnctypes(t *testing.T) {
	t.Parallel()
	mitrealm.Need(t, "klist", "kvno")
	for _, enctype := range []struct{ short, long string }{
		{"aes128-cts", "aes128-cts-hmac-sha1-96"},
		{"aes256-cts", "aes256-cts-hmac-sha1-96"},
		{"aes128-sha2", "aes128-cts-hmac-sha256-128"},
		{"aes256-sha2", "aes256-cts-hmac-sha384-192"},
	} {
		t.Run(enctype.short, func(t *testing.T) {
			t.Parallel()
			realm := mitrealm.New(t, mitrealm.Config{Enctypes: []string{enctype.short}})
			realm.Kinit("alice")
			output(t, realm.Command("kvno", "host/localhost"))
			want := "Etype (skey, tkt): " + enctype.long + ", " + enctype.long
			if tickets := output(t, realm.Command("klist", "-e")); strings.Count(tickets, want) != 2 {
				t.Errorf("want two tickets with %q:\n%s", want, tickets)
			}
		})
	}
}

// Many realms at once keep to themselves: each one's user is unknown to the
// others, and so is its service.
func TestRealmsAreApart(t *testing.T) {
	t.Parallel()
	mitrealm.Need(t, "kvno")
	for _, user := range []string{"ann", "ben", "cat", "dan"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			realm := mitrealm.New(t, mitrealm.Config{
				Name:     "SAME.NAME",
				Users:    map[string]string{user: `a "quoted" word`},
				Services: []string{"host/" + user, "http/" + user},
			})
			for range 5 {
				realm.Kinit(user)
				output(t, realm.Command("kvno", "host/"+user, "http/"+user))
			}
			if princs := realm.Kadmin("listprincs"); !strings.Contains(princs, "http/"+user+"@SAME.NAME") {
				t.Errorf("listprincs:\n%s", princs)
			}
		})
	}
}

// What starts with a realm ends with it, and its programs see nothing of the
// machine's own set-up.
func TestNothingIsLeft(t *testing.T) {
	t.Setenv("KRB5CCNAME", "FILE:/nonexistent")
	t.Setenv("KRB5_TRACE", "/nonexistent")
	var pid string
	t.Run("realm", func(t *testing.T) {
		realm := mitrealm.New(t, mitrealm.Config{})
		b, err := os.ReadFile(filepath.Join(realm.Dir, "kdc.pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid = strings.TrimSpace(string(b))
		if !running(pid) {
			t.Fatalf("the KDC's process %s is not there", pid)
		}
		for _, v := range realm.Env() {
			if strings.Contains(v, "/nonexistent") {
				t.Errorf("inherited %s", v)
			}
		}
	})
	if pid != "" && running(pid) {
		t.Errorf("the KDC's process %s is still there", pid)
	}
}

func running(pid string) bool { return exec.Command("kill", "-0", pid).Run() == nil }
