package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/client/load"
	"github.com/countersign-go/countersign/token"
)

// checkLoad checks the options of a load test and sets what follows from them.
func (o *options) checkLoad(fs *pflag.FlagSet) error {
	switch {
	case !o.load:
		return nil
	case o.concurrency < 1:
		return usage(fmt.Sprintf("--concurrency %d: at least 1", o.concurrency), "")
	case fs.Changed("duration") && o.duration <= 0:
		return usage(fmt.Sprintf("--duration %v: more than 0, such as 30s", o.duration), "")
	case fs.Changed("rate") && !(o.rate > 0):
		return usage(fmt.Sprintf("--rate %v: more than 0 messages a second", o.rate), "")
	case fs.Changed("size") && (o.size < 1 || o.size > token.DefaultMaxLength):
		return usage(fmt.Sprintf("--size %d: from 1 to %d bytes", o.size, token.DefaultMaxLength), "")
	}
	// load.Config has zero for no bound.
	if !fs.Changed("ccount") {
		o.ccount = o.concurrency
		if o.duration > 0 {
			o.ccount = 0
		}
	}
	if !fs.Changed("mcount") && o.duration > 0 {
		o.mcount = 0
	}
	return nil
}

// runLoad makes a load test and prints its summary.
func (o *options) runLoad(ctx context.Context, p *printer, stderr io.Writer) error {
	msg, err := o.message()
	if err != nil {
		return err
	}
	cfg, err := o.config(ctx, p)
	if err != nil {
		return err
	}
	bar := newBar(stderr, o.quiet)
	report, err := load.Run(ctx, load.Config{
		Client:      cfg,
		Message:     msg,
		Concurrency: o.concurrency,
		Connections: o.ccount,
		Messages:    o.mcount,
		Duration:    o.duration,
		Rate:        o.rate,
		Progress:    bar.draw,
	})
	bar.erase()
	if err != nil {
		return o.explain(err)
	}
	if o.json {
		blob, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s\n", blob)
	} else if err := report.WriteText(p.out); err != nil {
		return &failure{doing: "writing standard output", err: err}
	}
	switch {
	case report.Interrupted:
		return &failure{doing: "load test", err: errors.New("interrupted")}
	case report.Failed() > 0:
		return &failure{doing: "load test", err: fmt.Errorf("%d sessions failed, such as: %s", report.Failed(), report.Errors[0].Example)}
	case report.Messages == 0:
		return &failure{doing: "load test", err: errors.New("no message was answered")}
	}
	return nil
}

// A bar shows progress in one line of a terminal, and nothing elsewhere.
type bar struct{ w io.Writer }

func newBar(w io.Writer, quiet bool) *bar {
	f, ok := w.(*os.File)
	if !ok || quiet {
		return &bar{io.Discard}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &bar{io.Discard}
	}
	return &bar{f}
}

const barWidth = 30

func (b *bar) draw(p load.Progress) {
	full := int(p.Done * barWidth)
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f%%  %d messages, %.0f/s, %d failed \x1b[K",
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), p.Done*100,
		p.Messages, float64(p.Messages)/p.Elapsed.Seconds(), p.Failed)
}

func (b *bar) erase() { fmt.Fprint(b.w, "\r\x1b[K") }
