package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/countersign-go/countersign/gss/gsstest"
)

var enctypes = []int{17, 18, 19, 20}

var enctypeNames = map[int]string{
	17: "aes128-cts-hmac-sha1-96",
	18: "aes256-cts-hmac-sha1-96",
	19: "aes128-cts-hmac-sha256-128",
	20: "aes256-cts-hmac-sha384-192",
}

var sizes = []int{64, 1024, 16384, 65536, 1 << 20}

// A realm is a KDC with what MIT's programs need to find it.
type realm struct {
	kdc  *gsstest.Realm // nil: another KDC
	stop func()         // ends that one
	conf []byte
	env  []string
}

const password = "alice's own"

// newRealm makes a realm of one enctype. Nothing else is permitted: MIT's two
// ends would agree on a subkey of the first enctype in their list, whatever the
// ticket's.
func (b *bench) newRealm(enctype int) (*realm, error) {
	kdc, err := gsstest.NewRealm(gsstest.Config{Enctypes: []int32{int32(enctype)}})
	if err != nil {
		return nil, err
	}
	permitted := fmt.Sprintf("[libdefaults]\n permitted_enctypes = %s\n", enctypeNames[enctype])
	r := &realm{kdc: kdc, conf: bytes.Replace(kdc.Krb5Conf(), []byte("[libdefaults]\n"), []byte(permitted), 1)}
	if err := r.fill(b); err != nil {
		kdc.Close()
		return nil, err
	}
	return r, nil
}

func (r *realm) fill(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "realm")
	if err != nil {
		return err
	}
	if err := r.kdc.AddUser("alice", password); err != nil {
		return err
	}
	if err := r.kdc.AddService("host/localhost"); err != nil {
		return err
	}
	keytab, err := r.kdc.Keytab("host/localhost")
	if err != nil {
		return err
	}
	ccache, err := r.kdc.CCache("alice", "host/localhost")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"krb5.conf": r.conf, "keytab": keytab, "ccache": ccache} {
		if err := os.WriteFile(dir+"/"+name, data, 0o600); err != nil {
			return err
		}
	}
	r.env = append(os.Environ(), "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KTNAME=FILE:"+dir+"/keytab",
		"KRB5CCNAME=FILE:"+dir+"/ccache", "KRB5RCACHEDIR="+dir)
	return nil
}

func (r *realm) close() {
	if r.kdc != nil {
		r.kdc.Close()
	} else {
		r.stop()
	}
}

// library times the calls of both libraries in one process each, on one core.
func (b *bench) library() error {
	if err := build("go", "test", "-c", "-o", b.path("krb5.test"), "./gss/krb5"); err != nil {
		return err
	}
	b.mit = true
	if err := build("cc", "-O2", "-o", b.path("mitbench"), "testdata/bench/mit/mitbench.c", "-lgssapi_krb5", "-lkrb5"); err != nil {
		left("MIT's library: install libkrb5-dev and a C compiler: %v", err)
		b.mit = false
	}
	realms := make(map[int]*realm)
	for _, e := range enctypes {
		r, err := b.newRealm(e)
		if err != nil {
			return err
		}
		defer r.close()
		realms[e] = r
	}
	rounds := b.rounds(15) // short ones: a burst of something else spoils a few of many
	for round := range rounds {
		for _, e := range enctypes {
			progress("library, enctype %d, round %d of %d", e, round+1, rounds)
			if err := b.oneLibrary(realms[e], e); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneLibrary is one round of one enctype: MIT's, then ours.
func (b *bench) oneLibrary(r *realm, enctype int) error {
	seconds := 0.03
	if b.quick {
		seconds = 0.02
	}
	if b.mit {
		rcache := b.path("rcache")
		for _, run := range []struct{ stores, only, replays string }{
			{"file", "ContextPair", "file2:" + rcache},
			{"memory", "", "none:"},
		} {
			_ = os.Remove(rcache) // each run begins with an empty one, as ours do
			args := []string{run.stores, fmt.Sprint(seconds)}
			if run.only != "" {
				args = append(args, run.only)
			}
			out, err := b.pinned(append(r.env, "KRB5RCACHENAME="+run.replays), b.path("mitbench"), args...)
			if err != nil {
				return err
			}
			for line := range lines(out) {
				var name string
				var size int
				var ns float64
				if _, err := fmt.Sscanf(line, "%s size=%d %f", &name, &size, &ns); err != nil {
					return fmt.Errorf("mitbench said %q: %w", line, err)
				}
				if name == "ContextPair" {
					name += "/" + run.stores
				}
				b.figures.add(key{"mit", name, enctype, size}, ns)
			}
		}
	}
	// Patterns are matched part by part between slashes.
	for _, pattern := range []string{
		fmt.Sprintf("^BenchmarkContextPair$/./^enctype=%d$", enctype),
		fmt.Sprintf("^Benchmark(Accept|GetMIC|VerifyMIC|Wrap|Unwrap)$/^enctype=%d$", enctype),
		fmt.Sprintf("^BenchmarkGoCrypto$/./^enctype=%d$", enctype),
	} {
		out, err := b.pinned(os.Environ(), b.path("krb5.test"), "-test.run=^$", "-test.cpu=1",
			"-test.bench="+pattern, fmt.Sprintf("-test.benchtime=%gs", seconds))
		if err != nil {
			return err
		}
		for line := range lines(out) {
			if err := b.ourLine(line, enctype); err != nil {
				return err
			}
		}
	}
	return nil
}

var benchLine = regexp.MustCompile(`^Benchmark(\w+)(?:/(?:stores|op)=(\w+))?/enctype=(\d+)(?:/size=(\d+))?\s.*?([\d.]+) cpu-ns/op`)

func (b *bench) ourLine(line string, enctype int) error {
	m := benchLine.FindStringSubmatch(line)
	if m == nil {
		return nil // a heading
	}
	k := key{"ours", m[1], enctype, 0}
	switch {
	case m[1] == "GoCrypto":
		k.side, k.op = "go", m[2]
	case m[2] != "":
		k.op += "/" + m[2]
	}
	if m[4] != "" {
		k.size, _ = strconv.Atoi(m[4]) // digits
	}
	ns, err := strconv.ParseFloat(m[5], 64)
	if err != nil {
		return err
	}
	b.figures.add(k, ns)
	return nil
}

// pinned runs a program on the one core.
func (b *bench) pinned(env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(b.core), name}, args...)...)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return out, nil
}

func lines(b []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			if !yield(s.Text()) {
				return
			}
		}
	}
}
