package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
)

// A Report is what a run came to.
type Report struct {
	Elapsed     time.Duration
	Connections int64 // established
	Messages    int64 // answered, and their MICs verified where MICs were asked for
	Bytes       int64 // of these messages, before protection
	Unsent      int64 // messages whose time had come, with a rate, and that no session was free to send
	Interrupted bool  // the context ended before the work was done

	Connect Latency // of connecting and establishing the context
	Message Latency // from a message to its verified answer; with a rate from the time it should have been sent
	Errors  []ErrorCount
}

// Latency tells how durations were distributed. Quantiles are exact to 3.2 %.
type Latency struct {
	Count                    uint64
	Min, Mean                time.Duration
	P50, P90, P99, P999, Max time.Duration
}

// An ErrorCount is how often sessions failed in one way.
type ErrorCount struct {
	Kind    string `json:"kind"`
	Count   int64  `json:"count"`
	Example string `json:"example"` // the first error of the kind, in full
}

// Failed is the number of sessions that failed.
func (r *Report) Failed() int64 {
	var n int64
	for _, e := range r.Errors {
		n += e.Count
	}
	return n
}

func (r *Report) perSecond(n int64) float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(n) / r.Elapsed.Seconds()
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "messages    %d answered on %d connections in %.3f s\n", r.Messages, r.Connections, r.Elapsed.Seconds())
	fmt.Fprintf(&b, "throughput  %.1f messages/s, %.3f MB/s\n", r.perSecond(r.Messages), r.perSecond(r.Bytes)/1e6)
	r.Message.writeText(&b, "latency")
	r.Connect.writeText(&b, "connecting")
	if r.Unsent > 0 {
		fmt.Fprintf(&b, "unsent      %d messages were due while all sessions were busy\n", r.Unsent)
	}
	if r.Interrupted {
		b.WriteString("interrupted before the work was done\n")
	}
	fmt.Fprintf(&b, "errors      %d\n", r.Failed())
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "  %8d  %s\n", e.Count, e.Kind)
		if !strings.HasSuffix(e.Example, e.Kind) {
			fmt.Fprintf(&b, "            such as: %s\n", e.Example)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l Latency) writeText(b *strings.Builder, title string) {
	if l.Count == 0 {
		return
	}
	fmt.Fprintf(b, "%-10s ", title)
	for _, q := range l.named() {
		fmt.Fprintf(b, " %s %.3f ms", q.name, q.d.Seconds()*1e3)
	}
	b.WriteByte('\n')
}

type named struct {
	name string
	d    time.Duration
}

func (l Latency) named() []named {
	return []named{{"min", l.Min}, {"mean", l.Mean}, {"p50", l.P50}, {"p90", l.P90}, {"p99", l.P99}, {"p99.9", l.P999}, {"max", l.Max}}
}

// MarshalJSON gives the report for programs, times in seconds.
func (r *Report) MarshalJSON() ([]byte, error) {
	errs := r.Errors
	if errs == nil {
		errs = []ErrorCount{}
	}
	return json.Marshal(struct {
		Elapsed     float64      `json:"elapsed_seconds"`
		Connections int64        `json:"connections"`
		Messages    int64        `json:"messages"`
		Bytes       int64        `json:"bytes"`
		Rate        float64      `json:"messages_per_second"`
		ByteRate    float64      `json:"bytes_per_second"`
		Unsent      int64        `json:"unsent"`
		Interrupted bool         `json:"interrupted"`
		Message     Latency      `json:"latency_seconds"`
		Connect     Latency      `json:"connect_seconds"`
		Errors      []ErrorCount `json:"errors"`
	}{r.Elapsed.Seconds(), r.Connections, r.Messages, r.Bytes, r.perSecond(r.Messages), r.perSecond(r.Bytes),
		r.Unsent, r.Interrupted, r.Message, r.Connect, errs})
}

// MarshalJSON gives the count and the quantiles in seconds.
func (l Latency) MarshalJSON() ([]byte, error) {
	m := map[string]any{"count": l.Count}
	for _, q := range l.named() {
		m[q.name] = q.d.Seconds()
	}
	return json.Marshal(m)
}

// failures counts errors by kind.
type failures struct {
	mu    sync.Mutex
	kinds map[string]*ErrorCount
}

func (f *failures) add(err error) {
	kind := kindOf(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = make(map[string]*ErrorCount)
	}
	e := f.kinds[kind]
	if e == nil {
		e = &ErrorCount{Kind: kind, Example: err.Error()}
		f.kinds[kind] = e
	}
	e.Count++
}

func (f *failures) total() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.kinds {
		n += e.Count
	}
	return n
}

// list gives the counts, the most frequent kind first.
func (f *failures) list() []ErrorCount {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []ErrorCount
	for _, e := range slices.SortedFunc(maps.Values(f.kinds), func(a, b *ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Kind, b.Kind))
	}) {
		list = append(list, *e)
	}
	return list
}

// kindOf is an error without what differs from one to the next, such as ports.
func kindOf(err error) string {
	step := ""
	if ce, ok := errors.AsType[*client.Error](err); ok {
		step = string(ce.Step) + ": "
	}
	if ge, ok := errors.AsType[*gss.Error](err); ok {
		return step + ge.Major.Error()
	}
	_, answer := errors.AsType[*client.AnswerError](err)
	errno, system := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return step + "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return step + "closed by the server"
	case answer:
		return step + "unexpected answer"
	case system:
		return step + errno.Error()
	}
	return step + "other"
}
