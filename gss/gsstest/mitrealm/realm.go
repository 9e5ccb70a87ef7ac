package mitrealm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// readyTimeout bounds every wait for a program to be ready. It is only reached
// when something is broken.
const readyTimeout = 30 * time.Second

// Config says what a realm holds. The zero Config is a useful realm.
type Config struct {
	// Name is the realm's name; MIT.TEST unless set.
	Name string

	// Enctypes are the encryption types of all keys, session keys and tickets
	// in MIT's spelling, the preferred one first. Unless set they are
	// aes256-cts, aes128-cts, aes256-sha2 and aes128-sha2.
	Enctypes []string

	// Users are principals with their passwords; alice with the password
	// alicepw unless set.
	Users map[string]string

	// Conf is put at the end of krb5.conf: sections, which add to what is there.
	Conf string

	// Services are principals with random keys, which are also in the realm's
	// keytab; host/localhost unless set.
	Services []string
}

// A Realm is a running MIT realm. Its methods fail the test that made it when
// a program fails that ought to work.
type Realm struct {
	Name       string // the realm's name
	KDCAddr    string // host:port on which the KDC answers, UDP and TCP
	Dir        string // the directory that holds all of the realm's files
	ConfigFile string // krb5.conf
	KeytabFile string // keys of the configured services
	CCacheFile string // the credential cache that Kinit fills

	t         testing.TB
	passwords map[string]string
	enctypes  []string
	conf      string
	probe     string // a principal that no other KDC knows
}

// New makes a realm, starts its KDC and returns when that answers. The test is
// skipped where krb5kdc or the programs to fill its database are not installed
// (see [Need]).
func New(t testing.TB, cfg Config) *Realm {
	t.Helper()
	Need(t, "kdb5_util", "kadmin.local", "krb5kdc", "kinit")
	if cfg.Name == "" {
		cfg.Name = "MIT.TEST"
	}
	if cfg.Enctypes == nil {
		cfg.Enctypes = []string{"aes256-cts", "aes128-cts", "aes256-sha2", "aes128-sha2"}
	}
	if cfg.Users == nil {
		cfg.Users = map[string]string{"alice": "alicepw"}
	}
	if cfg.Services == nil {
		cfg.Services = []string{"host/localhost"}
	}

	dir := t.TempDir()
	r := &Realm{
		Name:       cfg.Name,
		Dir:        dir,
		ConfigFile: filepath.Join(dir, "krb5.conf"),
		KeytabFile: filepath.Join(dir, "service.keytab"),
		CCacheFile: filepath.Join(dir, "ccache"),
		t:          t,
		passwords:  cfg.Users,
		enctypes:   cfg.Enctypes,
		conf:       cfg.Conf,
		probe:      "probe-" + randomHex(),
	}

	if err := r.configure("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.fill(cfg)
	if err := r.serve(); err != nil {
		t.Fatal(err)
	}
	return r
}

// configure writes krb5.conf and kdc.conf for a KDC at addr.
func (r *Realm) configure(addr string) error {
	r.KDCAddr = addr
	enctypes := strings.Join(r.enctypes, " ")
	krb5conf := fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	forwardable = true
	permitted_enctypes = %[3]s
[realms]
	%[1]s = {
		kdc = %[2]s
	}
[domain_realm]
	localhost = %[1]s
%[4]s`, r.Name, addr, enctypes, r.conf)
	kdcconf := fmt.Sprintf(`[kdcdefaults]
	kdc_listen = %[2]s
	kdc_tcp_listen = %[2]s
[realms]
	%[1]s = {
		database_name = %[4]s/principal
		key_stash_file = %[4]s/stash
		acl_file = %[4]s/kadm5.acl
		master_key_type = %[5]s
		supported_enctypes = %[3]s
		max_renewable_life = 7d
	}
[logging]
	kdc = FILE:%[4]s/kdc.log
`, r.Name, addr, enctypes, r.Dir, r.enctypes[0])
	if err := os.WriteFile(r.ConfigFile, []byte(krb5conf), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Dir, "kdc.conf"), []byte(kdcconf), 0o600)
}

// fill makes the database, its principals and the keytab.
func (r *Realm) fill(cfg Config) {
	r.t.Helper()
	if out, err := r.Command("kdb5_util", "create", "-s", "-P", "masterpw", "-r", r.Name).CombinedOutput(); err != nil {
		r.t.Fatalf("kdb5_util create: %v\n%s", err, out)
	}
	var queries []string
	for user, password := range cfg.Users {
		queries = append(queries, fmt.Sprintf("addprinc -pw %s %s", quote(password), quote(user)))
	}
	for _, service := range cfg.Services {
		queries = append(queries,
			"addprinc -randkey "+quote(service),
			fmt.Sprintf("ktadd -k %s %s", quote(r.KeytabFile), quote(service)))
	}
	queries = append(queries, "addprinc -randkey "+r.probe)
	r.Kadmin(queries...)
}

// Env is the environment in which programs find this realm and nothing of the
// machine's own Kerberos set-up.
func (r *Realm) Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "KRB5") || strings.HasPrefix(v, "GSS") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	return append(env,
		"KRB5_CONFIG="+r.ConfigFile,
		"KRB5_KDC_PROFILE="+filepath.Join(r.Dir, "kdc.conf"),
		"KRB5_KTNAME=FILE:"+r.KeytabFile,
		"KRB5_CLIENT_KTNAME=FILE:"+filepath.Join(r.Dir, "client.keytab"),
		"KRB5CCNAME=FILE:"+r.CCacheFile,
		"KRB5RCACHEDIR="+r.Dir,
		"LC_ALL=C",
	)
}

// Command is a program to be run in this realm. MIT's daemons and
// administration programs are found though PATH may not name their directory.
func (r *Realm) Command(name string, args ...string) *exec.Cmd {
	path := find(name)
	if path == "" {
		path = name
	}
	cmd := exec.Command(path, args...)
	cmd.Env = r.Env()
	return cmd
}

// Kinit gets a ticket-granting ticket for a configured user into CCacheFile.
// Arguments such as "-l", "1s" go before the user's name.
func (r *Realm) Kinit(user string, args ...string) {
	r.t.Helper()
	cmd := r.Command("kinit", append(args, user)...)
	cmd.Stdin = strings.NewReader(r.passwords[user] + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("kinit %s: %v\n%s", user, err, out)
	}
}

// kadminFailure is how kadmin.local reports that a query failed; its exit
// status is 0 all the same.
var kadminFailure = regexp.MustCompile(`(?m)^\S+: .* while |^\S+: Unknown request`)

// Kadmin runs queries of kadmin.local on the realm's database and gives what
// was printed. A query that fails fails the test.
func (r *Realm) Kadmin(queries ...string) string {
	r.t.Helper()
	// -p: it would take the system's name of the user, who may have none.
	cmd := r.Command("kadmin.local", "-r", r.Name, "-p", "admin/admin")
	cmd.Stdin = strings.NewReader(strings.Join(queries, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || kadminFailure.Match(stderr.Bytes()) {
		r.t.Fatalf("kadmin.local: %v\n%s%s", err, out, &stderr)
	}
	return string(out)
}

// quote quotes an argument of a kadmin.local query.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
