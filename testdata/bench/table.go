package main

import (
	"fmt"
	"slices"
	"strings"
)

var operations = []string{"ContextPair/file", "ContextPair/memory", "Accept", "GetMIC", "VerifyMIC", "Wrap", "Unwrap"}

// alone is the operation of Go's own crypto that each is held against.
var alone = map[string]string{"GetMIC": "mic", "VerifyMIC": "mic", "Wrap": "seal", "Unwrap": "open"}

// A goal is how many times faster than MIT's an operation is to be, and what
// share of the speed of Go's crypto alone it is to reach; zero where none is set.
type goal struct{ mit, crypto float64 }

func goalOf(op string, enctype, size int) goal {
	message := alone[op] != ""
	switch {
	case enctype == 18 && !message:
		return goal{mit: map[string]float64{"ContextPair/file": 3, "ContextPair/memory": 2, "Accept": 2.5}[op]}
	case enctype == 18 && size == 64:
		return goal{mit: map[string]float64{"GetMIC": 2.7, "VerifyMIC": 2.7, "Wrap": 3.5, "Unwrap": 3.5}[op]}
	case enctype == 18 && size == 65536:
		return map[string]goal{"GetMIC": {2.5, 0.93}, "Wrap": {4, 0.93}, "Unwrap": {mit: 6}}[op]
	case !message || enctype == 18:
		return goal{}
	case enctype == 20 && alone[op] == "mic":
		return goal{crypto: 0.9}
	case size >= 1024:
		return goal{mit: 2}
	case enctype == 20:
		return goal{}
	default:
		return goal{mit: 1}
	}
}

// table is everything, in Markdown.
func (f *figures) table() string {
	var b strings.Builder
	for _, line := range f.head {
		fmt.Fprintln(&b, line)
	}
	b.WriteByte('\n')
	f.libraryTable(&b, enctypes, sizes)
	f.serverTable(&b)
	return b.String()
}

// summary is what the README shows.
func (f *figures) summary() string {
	var b strings.Builder
	if len(f.head) > 0 {
		fmt.Fprintf(&b, "%s.\n\n", strings.Join(f.head, "; "))
	}
	f.libraryTable(&b, []int{18}, []int{64, 1024, 65536, 1 << 20})
	f.serverTable(&b)
	return b.String()
}

func (f *figures) libraryTable(b *strings.Builder, enctypes, sizes []int) {
	b.WriteString("| operation | enctype | size | ours | MIT's | MIT's / ours | Go's crypto alone | its time / ours | target |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, op := range operations {
		of := sizes
		if alone[op] == "" {
			of = []int{0}
		}
		for _, enctype := range enctypes {
			for _, size := range of {
				ours := f.median(key{"ours", op, enctype, size})
				if ours == 0 {
					continue
				}
				mit, crypto := f.median(key{"mit", op, enctype, size}), f.median(key{"go", alone[op], enctype, size})
				fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", op, enctype, bytesText(size), timeText(ours), timeText(mit),
					timesText(mit/ours), timeText(crypto), percentText(crypto/ours), goalOf(op, enctype, size).text(mit/ours, crypto/ours))
			}
		}
	}
	b.WriteByte('\n')
}

func (g goal) text(mit, crypto float64) string {
	var parts []string
	verdict := "met"
	if g.mit > 0 {
		parts = append(parts, fmt.Sprintf("%g times", g.mit))
		if mit < g.mit {
			verdict = "**missed**"
		}
	}
	if g.crypto > 0 {
		parts = append(parts, fmt.Sprintf("%.0f %%", g.crypto*100))
		if crypto < g.crypto {
			verdict = "**missed**"
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + ": " + verdict
}

// A serverRow compares two figures: first to second must not be more than most,
// or, of rates, not less than least. Neither: no target is set.
type serverRow struct {
	what          string
	first, second key
	text          func(float64) string
	least, most   float64
}

var serverRows = []serverRow{
	{"1 KiB sealed messages, 64 connections: gss-server, bare Go echo", key{"ours", "exchanges/s", 18, 1024}, key{"go", "exchanges/s", 18, 1024}, rateText, 0.5, 0},
	{"whole connections with one message: gss-server, bare Go echo", key{"ours", "connections/s", 18, 1024}, key{"go", "connections/s", 18, 1024}, rateText, 0.333, 0},
	{"CPU a 1 KiB message: gss-server, MIT's", key{"ours", "cpu-message", 18, 1024}, key{"mit", "cpu-message", 18, 1024}, timeText, 0, 0.6},
	{"the same: bare Go echo, MIT's gss-server", key{"go", "cpu-message", 18, 1024}, key{"mit", "cpu-message", 18, 1024}, timeText, 0, 0},
	{"CPU a connection with one message: gss-server, MIT's", key{"ours", "cpu-connection", 18, 1024}, key{"mit", "cpu-connection", 18, 1024}, timeText, 0, 0.4},
	{"the same: bare Go echo, MIT's gss-server", key{"go", "cpu-connection", 18, 1024}, key{"mit", "cpu-connection", 18, 1024}, timeText, 0, 0},
	{"a new client's p99: beside 10,000 idle connections, without them", key{"ours", "connect-p99", 18, 10000}, key{"ours", "connect-p99", 18, 0}, timeText, 0, 2},
	{"1 KiB exchange at half the peak load: p99, median", key{"ours", "half-p99", 18, 1024}, key{"ours", "half-p50", 18, 1024}, timeText, 0, 5},
	{"the same: bare Go echo", key{"go", "half-p99", 18, 1024}, key{"go", "half-p50", 18, 1024}, timeText, 0, 0},
	{"1 KiB exchange at half the peak load, a message: gss-server waits for a processor, runs", key{"ours", "half-waiting", 18, 1024}, key{"ours", "half-running", 18, 1024}, timeText, 0, 0},
	{"-inetd, exec to first reply byte: gss-server, MIT's", key{"ours", "inetd", 18, 0}, key{"mit", "inetd", 18, 0}, timeText, 0, 1.5},
	{"the same: bare Go echo, MIT's gss-server", key{"go", "inetd", 18, 0}, key{"mit", "inetd", 18, 0}, timeText, 0, 0},
}

var idleMemory = key{"ours", "idle-bytes", 18, 10000}

func (f *figures) serverTable(b *strings.Builder) {
	b.WriteString("| what | first | second | first / second | target |\n|---|---|---|---|---|\n")
	for _, row := range slices.Concat(serverRows, tlsRows, pushRows) {
		first, second := f.median(row.first), f.median(row.second)
		if first == 0 || second == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s | %.2f | %s |\n", row.what, row.text(first), row.text(second), first/second, row.verdict(first/second))
	}
	for _, row := range limitRows {
		if v := f.median(row.of); v > 0 {
			fmt.Fprintf(b, "| %s | %s | | | %s |\n", row.what, row.text(v), verdict(row.target, row.least <= v && v <= row.most))
		}
	}
	b.WriteByte('\n')
}

func (r serverRow) verdict(ratio float64) string {
	switch {
	case r.least > 0:
		return verdict(fmt.Sprintf("at least %g", r.least), ratio >= r.least)
	case r.most > 0:
		return verdict(fmt.Sprintf("at most %g", r.most), ratio <= r.most)
	}
	return ""
}

func verdict(target string, ok bool) string {
	if ok {
		return target + ": met"
	}
	return target + ": **missed**"
}

// timeText has three digits of nanoseconds.
func timeText(ns float64) string {
	for _, unit := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}, {"ns", 1}} {
		if ns >= unit.ns {
			digits := 2
			for v := ns / unit.ns; v >= 10 && digits > 0; v /= 10 {
				digits--
			}
			return fmt.Sprintf("%.*f %s", digits, ns/unit.ns, unit.name)
		}
	}
	return ""
}

func bytesText(n int) string {
	switch {
	case n == 0:
		return ""
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func rateText(v float64) string { return fmt.Sprintf("%.0f/s", v) }

func timesText(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

func percentText(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", v*100)
}
