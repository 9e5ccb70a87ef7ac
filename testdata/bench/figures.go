package main

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// A key names one measurement. Ops ending in /s are rates, others are
// nanoseconds unless they say what they are.
type key struct {
	side    string // ours, mit or go: the standard library alone
	op      string
	enctype int // 0: does not matter
	size    int // of a message in bytes, or a number of connections
}

// figures are the values measured, round by round.
type figures struct {
	head   []string // what was measured on what
	values map[key][]float64
}

func newFigures() *figures { return &figures{values: make(map[key][]float64)} }

func (f *figures) add(k key, v float64) { f.values[k] = append(f.values[k], v) }

// replace puts other figures over f's. Both sides of a ratio come from one run.
func (f *figures) replace(by *figures) {
	maps.Copy(f.values, by.values)
	for _, line := range by.head {
		if !slices.Contains(f.head, line) {
			f.head = append(f.head, line)
		}
	}
}

// median of what was measured; 0 when nothing was.
func (f *figures) median(k key) float64 {
	v := slices.Sorted(slices.Values(f.values[k]))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}

// String is the raw file: a line for each key, with all values in the order in
// which they were measured.
func (f *figures) String() string {
	var b strings.Builder
	for _, line := range f.head {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	keys := slices.SortedFunc(maps.Keys(f.values), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.op, b.op), cmp.Compare(a.enctype, b.enctype), cmp.Compare(a.size, b.size), cmp.Compare(a.side, b.side))
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s %d %d", k.op, k.side, k.enctype, k.size)
		for _, v := range f.values[k] {
			fmt.Fprintf(&b, " %.1f", v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (f *figures) read(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() {
		if line, ok := strings.CutPrefix(s.Text(), "# "); ok {
			f.head = append(f.head, line)
			continue
		}
		fields := strings.Fields(s.Text())
		if len(fields) < 5 {
			return fmt.Errorf("%s: not a line of figures: %q", name, s.Text())
		}
		k := key{op: fields[0], side: fields[1]}
		if _, err := fmt.Sscan(fields[2]+" "+fields[3], &k.enctype, &k.size); err != nil {
			return fmt.Errorf("%s: %q: %w", name, s.Text(), err)
		}
		for _, field := range fields[4:] {
			var v float64
			if _, err := fmt.Sscan(field, &v); err != nil {
				return fmt.Errorf("%s: %q: %w", name, s.Text(), err)
			}
			f.add(k, v)
		}
	}
	return s.Err()
}

const (
	rawFile    = "testdata/bench/raw/run.txt"
	tableFile  = "testdata/bench/raw/table.md"
	sizePlot   = "testdata/bench/size.svg"
	connsPlot  = "testdata/bench/connections.svg"
	readmeFile = "README.md"
)

// writeTree puts the figures, and what follows from them, into the tree.
func (f *figures) writeTree(table string) error {
	readme, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	const begin, end = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
	before, rest, ok := strings.Cut(string(readme), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table", readmeFile)
	}
	if err := os.MkdirAll("testdata/bench/raw", 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{
		rawFile:    f.String(),
		tableFile:  table,
		sizePlot:   f.sizePlot(),
		connsPlot:  f.connectionsPlot(),
		readmeFile: before + begin + f.summary() + end + after,
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
