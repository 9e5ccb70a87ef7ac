package main

import (
	"fmt"
	"math"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// What these rows compare is measured by benchmarks of server and server/dtls:
// one Go client that speaks TLS 1.3 to our server and to openssl s_server, which
// have certificates of the same kind, in one run; and a good client with and
// without bad ones around it.

const (
	silentClients = 5000
	floodHellos   = 10000 // a second
)

var tlsRows = []serverRow{
	{"TLS 1.3 handshakes, one client: gss-server, openssl s_server", key{"ours", "tls-handshakes/s", 0, 0}, key{"openssl", "tls-handshakes/s", 0, 0}, rateText, 0, 0},
	{"TLS 1.3 upload, one client: gss-server, openssl s_server", key{"ours", "tls-upload-bytes/s", 0, 0}, key{"openssl", "tls-upload-bytes/s", 0, 0}, speedText, 0, 0},
	{"a TLS client's p99, handshake and echo: beside 5,000 silent connections, without them", key{"ours", "silent-p99", 0, silentClients}, key{"ours", "silent-p99", 0, 0}, timeText, 0, 1.5},
}

// A limitRow holds one figure against a limit.
type limitRow struct {
	what        string
	of          key
	text        func(float64) string
	least, most float64
	target      string
}

var limitRows = []limitRow{
	{"resident memory with 10,000 idle connections", idleMemory, volumeText, 0, 200e6, "at most 200 MB"},
	{"a DTLS client's slowest handshake and echo under 10,000 spoofed hellos a second", key{"ours", "flood-max", 0, floodHellos}, timeText, 0, 1e9, "at most 1 s"},
	{"push, deliveries a second to 1,000 subscribers, publisher and subscribers on the same two cores", fanOut("ours", "push-window/s"), rateText, 100e3, math.Inf(1), "at least 100,000/s"},
}

// A benchmark is one of Go's, whose lines give figures.
type benchmark struct {
	dir, pattern string
	time, quick  string // -benchtime
	figures      []metric
}

// A metric is a figure on a benchmark's line, found by the line's name and the unit
// that follows the number.
type metric struct {
	name, unit string
	key        key
	scale      float64 // to the figure's unit
}

var tlsBenchmarks = []benchmark{
	{"./server", "TLSHandshake$", "1s", "0.1s", []metric{
		{"TLSHandshake/countersign", "handshakes/s", tlsRows[0].first, 1},
		{"TLSHandshake/openssl", "handshakes/s", tlsRows[0].second, 1},
	}},
	{"./server", "TLSUpload$", "1s", "0.1s", []metric{
		{"TLSUpload/countersign", "MB/s", tlsRows[1].first, 1e6},
		{"TLSUpload/openssl", "MB/s", tlsRows[1].second, 1e6},
	}},
	{"./server", "SilentClients$", "3000x", "100x", []metric{
		{"SilentClients/5000", "p99-us", tlsRows[2].first, 1e3},
		{"SilentClients/0", "p99-us", tlsRows[2].second, 1e3},
	}},
	{"./server/dtls", "HandshakeUnderFlood$/hellos=10000$", "2s", "0.3s", []metric{
		{"HandshakeUnderFlood/hellos=10000", "max-ms", limitRows[1].of, 1e6},
		{"HandshakeUnderFlood/hellos=10000", "hellos/s", key{"ours", "flood-hellos/s", 0, floodHellos}, 1}, // that they came
	}},
}

// tls measures the secure servers.
func (b *bench) tls() error { return b.benchmarks("tls", tlsBenchmarks) }

// benchmarks runs them in turn.
func (b *bench) benchmarks(section string, all []benchmark) error {
	programs := make(map[string]string) // by directory
	for _, m := range all {
		if programs[m.dir] == "" {
			programs[m.dir] = b.path(strings.ReplaceAll(m.dir[2:], "/", "-") + ".test")
			if err := build("go", "test", "-c", "-o", programs[m.dir], m.dir); err != nil {
				return err
			}
		}
	}
	rounds := b.rounds(5)
	for round := range rounds {
		progress("%s, round %d of %d", section, round+1, rounds)
		for _, m := range all {
			if err := b.benchmark(programs[m.dir], m); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchmark runs one and adds its figures.
func (b *bench) benchmark(program string, m benchmark) error {
	time := m.time
	if b.quick {
		time = m.quick
	}
	out, err := exec.Command(program, "-test.run=^$", "-test.bench=^Benchmark"+m.pattern, "-test.benchtime="+time).CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmark %s of %s: %w\n%s", m.pattern, m.dir, err, out)
	}
	for _, f := range m.figures {
		value, err := f.find(out)
		if err != nil {
			return fmt.Errorf("benchmark %s of %s: %w", m.pattern, m.dir, err)
		}
		if value == 0 {
			left("%s %s: %s", f.name, f.unit, out)
			continue
		}
		b.figures.add(f.key, value*f.scale)
	}
	return nil
}

// find gives the figure of the benchmark's output, 0 if the benchmark was left
// out.
func (f metric) find(output []byte) (float64, error) {
	line := regexp.MustCompile(`(?m)^Benchmark` + regexp.QuoteMeta(f.name) + `(?:-\d+)?\s.*?([\d.e+-]+) ` + regexp.QuoteMeta(f.unit) + `(?:\s|$)`)
	found := line.FindSubmatch(output)
	if found == nil {
		return 0, nil
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

func volumeText(v float64) string { return fmt.Sprintf("%.0f MB", v/1e6) }

func speedText(v float64) string { return volumeText(v) + "/s" }
