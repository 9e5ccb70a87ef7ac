// Bench measures this module beside MIT's library and gss-server, and beside
// openssl s_server and NATS, in turn on one machine, and prints what each takes
// and their ratios. Only ratios of one run mean anything: absolute figures move
// with the machine and its load.
//
//	go run ./testdata/bench             everything, some ten minutes
//	go run ./testdata/bench -quick      one short round: that it works
//	go run ./testdata/bench -write      and put the figures, the table and the plots into the tree
//	go run ./testdata/bench -from testdata/bench/raw/run.txt -only tls -write    and leave the other figures as they are
//	go run ./testdata/bench -from testdata/bench/raw/run.txt -only '' -write     the same of figures measured before
//
// It needs Linux, a C compiler and MIT's development files (libkrb5-dev) for
// the library's side, Debian's krb5-gss-samples for the programs', openssl, nats-server; what
// is missing is left out, and said.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	quick := flag.Bool("quick", false, "one short round")
	write := flag.Bool("write", false, "write raw figures, table and plots into the tree")
	from := flag.String("from", "", "begin with the figures of this file")
	only := flag.String("only", "library,server,tls,push,plots", "what to measure; empty: nothing")
	most := flag.Int("rounds", 15, "measure everything so often at most")
	core := flag.Int("core", runtime.NumCPU()-1, "the core that in-process measurements run on")
	flag.Parse()

	for _, name := range []string{"KRB5RCACHENAME", "KRB5RCACHETYPE"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return err
	}
	if err := os.Chdir(strings.TrimSpace(string(root))); err != nil {
		return err
	}
	figures := newFigures()
	if *from != "" {
		if err := figures.read(*from); err != nil {
			return err
		}
	}
	if *only != "" {
		measured := newFigures()
		if err := measure(measured, *only, *core, *most, *quick); err != nil {
			return err
		}
		figures.replace(measured)
	}
	table := figures.table()
	fmt.Print(table)
	if !*write {
		return nil
	}
	return figures.writeTree(table)
}

// A bench is one measurement's surroundings.
type bench struct {
	figures *figures
	dir     string // for what is built and written meanwhile
	core    int
	quick   bool
	most    int  // rounds
	mit     bool // the C library can be linked
}

func measure(f *figures, only string, core, most int, quick bool) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{figures: f, dir: dir, core: core, most: most, quick: quick}
	f.head = append(machine(), fmt.Sprintf("%s: medians of up to %d rounds", only, most))
	for _, section := range strings.Split(only, ",") {
		switch section {
		case "library":
			err = b.library()
		case "server":
			err = b.server()
		case "tls":
			err = b.tls()
		case "push":
			err = b.push()
		case "cpu":
			err = b.cpu()
		case "plots":
			err = b.plots()
		default:
			err = fmt.Errorf("-only %s: known are library, server, tls, push, plots, and cpu, a part of server", section)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rounds is how often everything is measured: the median counts.
func (b *bench) rounds(n int) int {
	if b.quick {
		return 1
	}
	return min(n, b.most)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// build runs a command that makes something.
func build(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// left says what is not measured.
func left(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: left out: "+format+"\n", args...)
}

// progress says what is being measured.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// machine tells what the figures were measured on, without names of hosts.
func machine() []string {
	var model, system string
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		system = strings.TrimSpace(string(data))
	}
	mit := "no MIT library"
	if out, err := exec.Command("krb5-config", "--version").Output(); err == nil {
		mit = strings.TrimSpace(string(out))
	}
	return []string{
		fmt.Sprintf("%s, %d cores, %s %s, %s", model, runtime.NumCPU(), runtime.GOOS, system, runtime.Version()),
		mit + " with its built-in crypto (Debian's build)",
	}
}
