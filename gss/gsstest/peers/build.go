package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
)

// An Implementation is a GSS-API library that a peer can be made of.
type Implementation int

const (
	MIT     Implementation = iota // needs gcc and Debian's krb5-multidev
	Heimdal                       // needs gcc and Debian's heimdal-multidev
	Java                          // needs a JDK, Debian's openjdk-17-jdk-headless
)

// String is the implementation's name.
func (i Implementation) String() string {
	return [...]string{"MIT", "Heimdal", "Java"}[i]
}

// A Program is a peer's program, ready to run.
type Program struct {
	Implementation Implementation
	Version        string // what the library says of itself

	command []string
}

// Build compiles a peer's program into a directory of the test's. Where the
// compiler or the library is not installed the test is skipped, in the manner
// of [mitrealm.Need].
func Build(t testing.TB, i Implementation) *Program {
	t.Helper()
	p := &Program{Implementation: i}
	dir := t.TempDir()
	source := filepath.Join(moduleRoot(t), "testdata", "peers")
	switch i {
	case MIT:
		p.Version = buildC(t, dir, source, "krb5-config.mit")
		p.command = []string{filepath.Join(dir, "gsspeer")}
	case Heimdal:
		p.Version = buildC(t, dir, source, "krb5-config.heimdal", "-DHEIMDAL")
		p.command = []string{filepath.Join(dir, "gsspeer")}
	case Java:
		mitrealm.Need(t, "javac", "java")
		run(t, "javac", "-d", dir, filepath.Join(source, "GSSPeer.java"))
		p.Version = firstLine(run(t, "java", "--version"))
		p.command = []string{"java", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + dir, "-cp", dir, "GSSPeer"}
	}
	return p
}

// buildC compiles gsspeer.c against the library that a krb5-config tells of,
// and gives the library's version.
func buildC(t testing.TB, dir, source, config string, flags ...string) string {
	t.Helper()
	mitrealm.Need(t, "gcc", config)
	args := append([]string{"-o", filepath.Join(dir, "gsspeer")}, flags...)
	args = append(args, filepath.Join(source, "gsspeer.c"))
	args = append(args, strings.Fields(run(t, config, "--cflags", "--libs", "gssapi"))...)
	run(t, "gcc", append(args, "-lkrb5")...)
	return firstLine(run(t, config, "--version"))
}

// run runs a program that must succeed and gives its standard output.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	return string(out)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// moduleRoot is the directory of go.mod, above the directory that the test
// runs in.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = parent
	}
}
