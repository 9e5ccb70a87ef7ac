package krb5_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
)

// Files of Heimdal's tools (Debian's heimdal-clients) read here, and ours there
// and in MIT's klist: a credential cache that kinit made and one that we made,
// both with a ticket that we added, and a keytab that ktutil made.
func TestHeimdalFiles(t *testing.T) {
	mitrealm.Need(t, "kinit.heimdal", "ktutil.heimdal", "heimtools", "klist")
	realm := mitrealm.New(t, mitrealm.Config{Enctypes: []string{"aes256-cts", "aes128-cts"}})
	profile := mitProfile(t, realm, "")
	run := func(cmd *exec.Cmd) string {
		t.Helper()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		return string(out)
	}

	realm.Kadmin("cpw -pw hostpw host/localhost") // kvno 3 after ktadd's 2
	keytab := filepath.Join(t.TempDir(), "keytab")
	for _, enctype := range []string{"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96"} {
		run(realm.Command("ktutil.heimdal", "-k", "FILE:"+keytab, "add", "-p", "host/localhost@MIT.TEST", "-V", "3", "-e", enctype, "-w", "hostpw"))
	}
	s := &setup{profile: profile}
	var err error
	s.keytab, err = krb5.OpenKeytab(keytab)
	must(t, err)
	acceptor := s.acceptor(t)

	theirs := filepath.Join(t.TempDir(), "theirs")
	kinit := realm.Command("kinit.heimdal", "--password-file=STDIN", "-c", "FILE:"+theirs, "alice@MIT.TEST")
	kinit.Stdin = strings.NewReader("alicepw\n")
	run(kinit)

	ours := filepath.Join(t.TempDir(), "ours")
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "alicepw", Profile: profile,
	})
	must(t, err)
	cache, err := krb5.OpenCache("FILE:" + ours)
	must(t, err)
	must(t, cred.Store(cache))

	for _, file := range []string{theirs, ours} {
		s.cache, err = krb5.OpenCache("FILE:" + file)
		must(t, err)
		_, ac := pair(t, s.initiator(t), acceptor, gss.Request{Target: gss.HostService(service)})
		if got := ac.Inquire().Initiator.String(); got != "alice@MIT.TEST" {
			t.Errorf("%s: accepted %s", filepath.Base(file), got)
		}
		for _, klist := range []*exec.Cmd{
			realm.Command("heimtools", "klist", "-c", "FILE:"+file),
			realm.Command("klist", "-c", "FILE:"+file),
		} {
			out := run(klist)
			for _, want := range []string{"rincipal: alice@MIT.TEST\n", "krbtgt/MIT.TEST@MIT.TEST\n", "host/localhost@MIT.TEST\n"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s prints no %q:\n%s", klist, want, out)
				}
			}
		}
	}
}

// A cache file of MIT's kinit is, read here and stored again, the same byte for
// byte; and MIT's programs use one of ours, with a service ticket that we got.
func TestMITFiles(t *testing.T) {
	mitrealm.Need(t, "klist", "kvno")
	realm := mitrealm.New(t, mitrealm.Config{})
	realm.Kinit("alice", "-f", "-r", "1d")
	s := &setup{profile: mitProfile(t, realm, "")}
	var err error
	s.cache, err = krb5.OpenCache("FILE:" + realm.CCacheFile)
	must(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
	must(t, err)
	file := filepath.Join(t.TempDir(), "ours")
	ours, err := krb5.OpenCache("FILE:" + file)
	must(t, err)
	must(t, cred.Store(ours))
	want, err := os.ReadFile(realm.CCacheFile)
	must(t, err)
	got, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("stored\n%x\nMIT's\n%x", got, want)
	}

	s.cache = ours
	_, err = s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
	must(t, err)
	grown, err := os.ReadFile(file)
	must(t, err)
	if !bytes.HasPrefix(grown, got) || len(grown) == len(got) {
		t.Error("the service ticket was not added at the file's end")
	}
	for _, cmd := range []*exec.Cmd{
		realm.Command("klist", "-f", "-e", "-c", "FILE:"+file),
		realm.Command("kvno", "--cached-only", "-c", "FILE:"+file, "host/localhost"),
	} {
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "host/localhost@MIT.TEST") {
			t.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
}
