package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A pushView prints what happens at a push server: a line each, for people or in
// JSON. What it is told comes from one goroutine.
type pushView struct {
	out   io.Writer
	json  bool
	quiet bool // of results

	watching bool // there is more than results, with times
	screen   bool // a person looks at it: short times
	colours  bool
	now      func() time.Time
	failed   func(error) // called when out takes no more, once

	client  atomic.Pointer[push.Client] // knows the names of groups; nil at first
	welcome []pushwire.Group            // that the server told first; for events alone

	mu  sync.Mutex // held while writing
	err error
}

func newPushView(out io.Writer, o *options, failed func(error)) *pushView {
	screen := isTerminal(out) && !o.json
	return &pushView{
		out: out, json: o.json, quiet: o.quiet, watching: o.push.watch, screen: screen, colours: screen && os.Getenv("NO_COLOR") == "",
		now: time.Now, failed: failed,
	}
}

// The colours of what a line is about.
const (
	plain   = ""
	faint   = "\x1b[2m"
	bold    = "\x1b[1m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	normal  = "\x1b[0m"
)

func (v *pushView) paint(colour, text string) string {
	if !v.colours || colour == plain {
		return text
	}
	return colour + text + normal
}

// A pushLine is a line of JSON.
type pushLine struct {
	Event          string            `json:"event"`
	Time           time.Time         `json:"time"`
	From           string            `json:"from,omitempty"`
	Groups         []uint32          `json:"groups,omitempty"`
	Origin         string            `json:"origin,omitempty"`
	Seqs           []uint64          `json:"seqs,omitempty"`
	Text           *string           `json:"text,omitempty"`
	Base64         []byte            `json:"base64,omitempty"`
	Who            string            `json:"who,omitempty"`
	Server         string            `json:"server,omitempty"`
	You            string            `json:"you,omitempty"`
	Local          string            `json:"local,omitempty"`
	Rights         []pushRights      `json:"rights,omitempty"`
	Count          uint64            `json:"count,omitempty"`
	Directs        uint64            `json:"directs,omitempty"`
	ByGroup        map[uint32]uint64 `json:"by_group,omitempty"`
	Unknown        bool              `json:"unknown,omitempty"`
	DirectsUnknown bool              `json:"directs_unknown,omitempty"`
	Error          string            `json:"error,omitempty"`
	RetryIn        float64           `json:"retry_in,omitempty"` // seconds
	Operation      string            `json:"operation,omitempty"`
	Line           int               `json:"line,omitempty"`
	To             string            `json:"to,omitempty"`
	Status         string            `json:"status,omitempty"`
	Receivers      *uint32           `json:"receivers,omitempty"`
	MIC            []byte            `json:"mic,omitempty"`
}

// pushRights are the rights to a group.
type pushRights struct {
	Group   uint32 `json:"group"`
	Name    string `json:"name"`
	Read    bool   `json:"read"`
	Publish bool   `json:"publish"`
}

// print prints a line: text for people, which begins with the time, or record.
func (v *pushView) print(record pushLine, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.write(record, v.paint(faint, v.clock(record.Time))+" "+text)
}

// write is print without the time. The caller holds v.mu.
func (v *pushView) write(record pushLine, text string) {
	if v.err != nil {
		return
	}
	var b strings.Builder
	if v.json {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		v.err = enc.Encode(record)
	} else {
		b.WriteString(text)
		b.WriteByte('\n')
	}
	if v.err == nil {
		_, v.err = io.WriteString(v.out, b.String())
	}
	if v.err != nil {
		v.failed(v.err)
	}
}

func (v *pushView) clock(t time.Time) string {
	if v.screen {
		return t.Local().Format(time.TimeOnly)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// failure is why out takes no more, nil if it does.
func (v *pushView) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return nil
	}
	return &failure{doing: "writing standard output", err: v.err}
}

// group names a group, groups several of them. They may have been renamed since
// the last time.
func (v *pushView) group(number uint32) string {
	known := v.welcome
	if c := v.client.Load(); c != nil {
		known = c.Groups()
	}
	text := strconv.FormatUint(uint64(number), 10)
	for _, g := range known {
		if g.Number == number && g.Name != "" {
			text += " " + visible(g.Name)
		}
	}
	return text
}

func (v *pushView) groups(numbers []uint32) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = v.group(n)
	}
	return strings.Join(parts, ", ")
}

// events are what of a client is shown.
func (v *pushView) events() push.Events {
	return push.Events{
		Published: v.published, Sent: v.sent,
		Entered: func(who string, groups []uint32) { v.presence("entered", who, groups) },
		Left:    func(who string, groups []uint32) { v.presence("left", who, groups) },
		Lost:    v.lost,
		Joined: func(groups []uint32) {
			v.membership("joined", "the server subscribed you to ", groups)
		},
		Removed: func(groups []uint32) {
			v.membership("removed", "the server took you out of ", groups)
		},
		Connected: v.connected, Disconnected: v.disconnected,
	}
}

func (v *pushView) published(p push.Publication) {
	record := pushLine{Event: "published", Time: p.Time, From: exactly(p.From), Origin: p.Origin.String()}
	for _, s := range p.Groups {
		record.Groups = append(record.Groups, s.Group)
		record.Seqs = append(record.Seqs, s.Seq)
	}
	record.setData(p.Data)
	v.print(record, fmt.Sprintf("%s %s: %s", v.paint(cyan, "["+v.groups(record.Groups)+"]"), v.sender(p.From), visible(string(p.Data))))
}

func (v *pushView) sent(d push.Direct) {
	record := pushLine{Event: "sent", Time: d.Time, From: exactly(d.From)}
	record.setData(d.Data)
	v.print(record, fmt.Sprintf("%s %s: %s", v.paint(magenta, "[to you]"), v.sender(d.From), visible(string(d.Data))))
}

func (v *pushView) sender(from string) string {
	if from == "" {
		return v.paint(bold, "the server")
	}
	return v.paint(bold, visible(from))
}

func (r *pushLine) setData(data []byte) {
	if !utf8.Valid(data) {
		r.Base64 = data
		return
	}
	text := string(data)
	r.Text = &text
}

func (v *pushView) presence(event, who string, groups []uint32) {
	v.print(pushLine{Event: event, Time: v.now(), Who: exactly(who), Groups: groups},
		v.paint(green, fmt.Sprintf("%s %s %s", visible(who), event, v.groups(groups))))
}

func (v *pushView) membership(event, what string, groups []uint32) {
	v.print(pushLine{Event: event, Time: v.now(), Groups: groups}, v.paint(green, what+v.groups(groups)))
}

func (v *pushView) lost(l push.Loss) {
	text := count(l.Count, "message") + " lost"
	if l.Count == 0 {
		text = "messages may have been lost"
		if l.DirectsUnknown && !l.Unknown {
			text = "messages to you may have been lost"
		}
	}
	var parts []string
	for _, g := range slices.Sorted(maps.Keys(l.Groups)) {
		parts = append(parts, fmt.Sprintf("%d of %s", l.Groups[g], v.group(g)))
	}
	if l.Directs > 0 {
		parts = append(parts, fmt.Sprintf("%d to you", l.Directs))
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	switch {
	case l.Unknown && l.Count > 0:
		text += ", and there may be more"
	case l.DirectsUnknown && l.Count > 0:
		text += ", and there may be more to you"
	}
	v.print(pushLine{Event: "lost", Time: v.now(), Count: l.Count, Directs: l.Directs, ByGroup: l.Groups, Unknown: l.Unknown, DirectsUnknown: l.DirectsUnknown}, v.paint(yellow, text))
}

func (v *pushView) connected(w pushwire.Welcome) {
	v.welcome = w.Groups
	record := pushLine{Event: "connected", Time: v.now(), Server: exactly(w.Server), You: exactly(w.You), Local: exactly(w.Local)}
	for _, g := range w.Groups {
		record.Rights = append(record.Rights, pushRights{g.Number, exactly(g.Name), g.Rights&pushwire.Read != 0, g.Rights&pushwire.Publish != 0})
	}
	text := fmt.Sprintf("connected to %s as %s", visible(w.Server), visible(w.You))
	if w.Local != "" {
		text += fmt.Sprintf(" (%s)", visible(w.Local))
	}
	v.print(record, v.paint(green, text))
}

func (v *pushView) disconnected(err error, retryIn time.Duration) {
	text := "not connected: " + visible(withoutPush(err))
	if retryIn > 0 {
		text += fmt.Sprintf("; trying again in %v", retryIn.Round(time.Millisecond))
	}
	v.print(pushLine{Event: "disconnected", Time: v.now(), Error: exactly(withoutPush(err)), RetryIn: retryIn.Seconds()}, v.paint(red, text))
}

// statuses are the status codes as JSON has them.
var statuses = map[pushwire.Status]string{
	pushwire.Done: "done", pushwire.Forbidden: "forbidden", pushwire.NoGroup: "no_group", pushwire.Absent: "absent",
	pushwire.TooOften: "too_often", pushwire.TooLong: "too_long", pushwire.TooMany: "too_many",
	pushwire.Declined: "declined", pushwire.Unreached: "unreached",
}

// result prints what came of an operation.
func (v *pushView) result(op *operation, result push.Result, err error) {
	if v.quiet {
		return
	}
	record := pushLine{
		Event: "result", Time: v.now(), Operation: op.verb, Line: op.line, Groups: op.groups, To: exactly(op.to),
		Status: statuses[pushwire.Done], MIC: result.MIC,
	}
	text := "done"
	if op.verb == "publish" || op.verb == "to" {
		receivers := uint32(result.Receivers)
		record.Receivers = &receivers
		text += ", " + count(receivers, "receiver")
	}
	if op.verb == "sign" {
		text += ", signature verified"
	}
	colour := plain
	if err != nil {
		record.Status, record.Error = statusFailed, exactly(reason(err))
		if refused, ok := errors.AsType[*push.RefusedError](err); ok {
			record.Status = statuses[refused.Status]
		}
		text, colour = visible(reason(err)), red
	}
	text = visible(op.String()) + ": " + text
	if op.line > 0 {
		text = fmt.Sprintf("line %d: %s", op.line, text)
	}
	if v.watching {
		v.print(record, v.paint(colour, text))
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.write(record, text)
}

// reason says why an operation was not done.
func reason(err error) string {
	refused, ok := errors.AsType[*push.RefusedError](err)
	switch {
	case !ok || refused.Why == "" || refused.Why == refused.Status.String():
		return withoutPush(err)
	case refused.Status == pushwire.Declined || refused.Status == pushwire.Unreached:
		return fmt.Sprintf("%v: %s", refused.Status, refused.Why)
	}
	return refused.Why // it says all that the status does
}

// withoutPush gives an error's text without the name of the package.
func withoutPush(err error) string { return strings.TrimPrefix(err.Error(), "push: ") }

// statusFailed is that of an operation that has none of the server's.
const statusFailed = "failed"

// count says so many of a thing.
func count[T uint32 | uint64 | int](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
