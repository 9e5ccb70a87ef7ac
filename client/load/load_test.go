package load

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/clienttest"
)

// TestHistogram compares quantiles with those of the sorted values.
func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, largest := range []int64{31, 1000, 1e6, 1e12} {
		var h histogram
		values := make([]time.Duration, 10_000)
		var sum time.Duration
		for i := range values {
			values[i] = time.Duration(random.Int64N(largest))
			sum += values[i]
			h.record(values[i])
		}
		slices.Sort(values)
		l := h.latency()
		if l.Count != 10_000 || l.Min != values[0] || l.Max != values[9999] || l.Mean != sum/10_000 {
			t.Errorf("up to %d: %+v; min %d max %d mean %d", largest, l, values[0], values[9999], sum/10_000)
		}
		for _, q := range []struct {
			name      string
			got, want time.Duration
		}{{"p50", l.P50, values[4999]}, {"p90", l.P90, values[8999]}, {"p99", l.P99, values[9899]}, {"p99.9", l.P999, values[9989]}} {
			if off := float64(q.got-q.want) / float64(max(q.want, 1)); off < 0 || off > 1./subBuckets {
				t.Errorf("up to %d: %s is %d, want %d to 3.2 %%", largest, q.name, q.got, q.want)
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	for bucket := range buckets {
		if got := bucketOf(upper(bucket)); got != bucket {
			t.Fatalf("largest value of bucket %d, %d, is in %d", bucket, upper(bucket), got)
		}
		if bucket+1 < buckets {
			if got := bucketOf(upper(bucket) + 1); got != bucket+1 {
				t.Fatalf("value after bucket %d, %d, is in %d", bucket, upper(bucket)+1, got)
			}
		}
	}
}

// serve gives an unauthenticated client for a server: what is measured here
// does not depend on the mechanism.
func serve(t *testing.T, fault clienttest.Fault) (*clienttest.Server, client.Config) {
	t.Helper()
	server, err := clienttest.NewServer(nil, fault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, client.Config{Addr: server.Addr(), Unauthenticated: true}
}

func mustRun(t *testing.T, ctx context.Context, cfg Config) *Report {
	t.Helper()
	report, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCounts(t *testing.T) {
	server, cfg := serve(t, clienttest.Honest)
	r := mustRun(t, t.Context(), Config{Client: cfg, Message: make([]byte, 100), Concurrency: 3, Connections: 7, Messages: 11})
	server.Close()
	connections, messages := server.Counts()
	if connections != 7 || messages != 77 || r.Connections != 7 || r.Messages != 77 || r.Bytes != 7700 {
		t.Errorf("server had %d connections, %d messages; report: %+v", connections, messages, r)
	}
	if r.Message.Count != 77 || r.Connect.Count != 7 || r.Failed() != 0 || r.Interrupted {
		t.Errorf("report: %+v", r)
	}
	if err := server.Err(); err != nil {
		t.Errorf("sessions did not end as they should: %v", err)
	}
}

func TestDuration(t *testing.T) {
	_, cfg := serve(t, clienttest.Honest)
	var last Progress
	r := mustRun(t, t.Context(), Config{Client: cfg, Message: []byte("m"), Concurrency: 2, Duration: 500 * time.Millisecond,
		Progress: func(p Progress) { last = p }})
	if r.Connections != 2 || r.Messages < 100 || r.Elapsed < 500*time.Millisecond || r.Interrupted {
		t.Errorf("report: %+v", r)
	}
	if last.Done < 0.3 || last.Done > 1 || last.Messages == 0 {
		t.Errorf("last progress: %+v", last)
	}
}

// TestOpenLoop asks for more than can be done: closed, every latency is that of
// one exchange; open, messages wait for their turn and their latency says so.
func TestOpenLoop(t *testing.T) {
	_, cfg := serve(t, clienttest.Honest)
	closed := mustRun(t, t.Context(), Config{Client: cfg, Message: []byte("m"), Duration: 300 * time.Millisecond})
	open := mustRun(t, t.Context(), Config{Client: cfg, Message: []byte("m"), Duration: 300 * time.Millisecond, Rate: 1e7})
	if open.Message.P99 < 10*closed.Message.P50 || open.Message.Max < 200*time.Millisecond {
		t.Errorf("latency does not count from the schedule: %+v, closed %+v", open.Message, closed.Message)
	}
	if due := open.Messages + open.Unsent; due < 2_999_990 || due > 3_000_010 {
		t.Errorf("%d sent and %d unsent are not all that was due", open.Messages, open.Unsent)
	}
	if closed.Unsent != 0 {
		t.Errorf("closed loop with %d unsent", closed.Unsent)
	}
}

// TestRate stays below what can be done: the schedule is kept.
func TestRate(t *testing.T) {
	_, cfg := serve(t, clienttest.Honest)
	r := mustRun(t, t.Context(), Config{Client: cfg, Message: []byte("m"), Concurrency: 4, Connections: 4, Messages: 25, Rate: 250})
	if r.Messages != 100 {
		t.Errorf("%d messages, want 100", r.Messages)
	}
	if want := 99 * time.Second / 250; r.Elapsed < want {
		t.Errorf("took %v, the last message was due after %v", r.Elapsed, want)
	}
}

// TestAlarm has alarms that are never early, and end with the run.
func TestAlarm(t *testing.T) {
	for name, set := range map[string]func(<-chan struct{}) alarm{"the system's": newAlarm, "Go's": newTimer} {
		over := make(chan struct{})
		wait := set(over)
		for d := -time.Millisecond; d < 5*time.Millisecond; d += 250 * time.Microsecond {
			until := time.Now().Add(d)
			if !wait(until) {
				t.Fatalf("%s ended before the run", name)
			}
			if early := time.Until(until); early > 0 {
				t.Errorf("%s is early by %v", name, early)
			}
		}
		time.AfterFunc(10*time.Millisecond, func() { close(over) })
		if wait(time.Now().Add(time.Hour)) {
			t.Errorf("%s went off", name)
		}
	}
}

func TestErrors(t *testing.T) {
	_, leaving := serve(t, clienttest.Leaving)
	gone, refused := serve(t, clienttest.Honest)
	gone.Close()
	for _, tc := range []struct {
		cfg  client.Config
		kind string
	}{
		{leaving, "receiving answer: closed by the server"},
		{refused, "connecting to server: connection refused"},
	} {
		r := mustRun(t, t.Context(), Config{Client: tc.cfg, Message: []byte("m"), Concurrency: 2, Connections: 4, Messages: 2})
		if len(r.Errors) != 1 || r.Errors[0].Kind != tc.kind || r.Errors[0].Count != 4 || r.Failed() != 4 || r.Messages != 0 {
			t.Errorf("report: %+v", r)
			continue
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), tc.kind) {
			t.Errorf("%v; text:\n%s", err, &text)
		}
	}
}

func TestInterrupted(t *testing.T) {
	_, cfg := serve(t, clienttest.Honest)
	for _, rate := range []float64{0, 100, 1e7} {
		ctx, cancel := context.WithCancel(t.Context())
		r := mustRun(t, ctx, Config{Client: cfg, Message: []byte("m"), Connections: 1, Messages: 1 << 40, Rate: rate,
			Progress: func(p Progress) { cancel() }})
		if !r.Interrupted || r.Messages == 0 || r.Failed() != 0 {
			t.Errorf("rate %g: report: %+v", rate, r)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "interrupted") {
			t.Errorf("rate %g: %v; text:\n%s", rate, err, &text)
		}
	}
}

func TestJSON(t *testing.T) {
	_, cfg := serve(t, clienttest.Honest)
	r := mustRun(t, t.Context(), Config{Client: cfg, Message: []byte("four"), Connections: 1, Messages: 5})
	blob, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Messages, Bytes int
		Elapsed         float64            `json:"elapsed_seconds"`
		Latency         map[string]float64 `json:"latency_seconds"`
		Errors          []ErrorCount
	}
	if err := json.Unmarshal(blob, &got); err != nil {
		t.Fatal(err)
	}
	if got.Messages != 5 || got.Bytes != 20 || got.Elapsed <= 0 || got.Latency["count"] != 5 || got.Latency["p99"] <= 0 || got.Errors == nil {
		t.Errorf("%s", blob)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Client: client.Config{Addr: net.JoinHostPort("localhost", "1"), Unauthenticated: true}, Connections: 1, Messages: 1}
	if _, err := good.complete(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no end":                func(c *Config) { c.Messages = 0 },
		"no number":             func(c *Config) { c.Connections = 0 },
		"negative rate":         func(c *Config) { c.Rate = -1 },
		"negative duration":     func(c *Config) { c.Duration = -1 },
		"too many at once":      func(c *Config) { c.Concurrency = maxConcurrency + 1 },
		"client without a port": func(c *Config) { c.Client.Addr = "localhost" },
	} {
		cfg := good
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
}
