package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

const (
	pushing = "push" // what is being done, in complaints

	// maxBatch is the longest batch that is read as a whole, in octets.
	maxBatch = token.DefaultMaxLength

	// ahead is how many operations of standard input may be under way: as many as
	// the client lets be.
	ahead = 256

	// maxLine is the longest line of a batch, in octets: an operation with all of
	// its parts as long as they can be.
	maxLine = pushwire.MaxData + pushwire.MaxName + 1024
)

// A pushRun is what goes on with a push server.
type pushRun struct {
	o      *options
	client *push.Client
	view   *pushView
	issued chan issued // operations under way, in order; closed after the last

	mu     sync.Mutex
	total  int
	wrong  int
	first  string // what was wrong first
	hint   string
	gone   error // why there is no connection
	stderr io.Writer
}

// issued is an operation that the server was asked for.
type issued struct {
	op   *operation
	done chan struct{} // closed once its result was printed
}

// runPush does what the options of the push service say.
func (o *options) runPush(ctx context.Context, p *printer, stdout, stderr io.Writer) error {
	ops, err := o.operations()
	if err != nil {
		return err
	}
	cfg, err := o.config(ctx, p)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	run := &pushRun{o: o, view: newPushView(stdout, o, stop), issued: make(chan issued, len(ops)+ahead), stderr: stderr}
	config := push.Config{Client: cfg}
	if o.push.watch {
		config.Events = run.view.events()
	}
	shown := config.Events.Disconnected
	config.Events.Disconnected = func(err error, retryIn time.Duration) {
		run.lost(err)
		if shown != nil {
			shown(err, retryIn)
		}
	}
	if run.client, err = push.Dial(ctx, config); err != nil {
		return o.explainPush(err)
	}
	defer func() {
		if run.client.UnderWay() > 0 {
			return // a server that is told of the end does first what is left; one that loses a client does not
		}
		_ = run.client.Close() // all was said
		<-run.client.Done()
	}()
	run.view.client.Store(run.client)
	run.issueAll(ops)
	if o.push.batch == "-" {
		go run.issueLines(os.Stdin)
	} else {
		close(run.issued)
	}
	if err := run.results(ctx); err != nil {
		return err
	}
	if o.push.watch {
		select {
		case <-ctx.Done():
			if err := run.view.failure(); err != nil {
				return err
			}
		case <-run.client.Done():
			return o.explainPush(run.client.Err())
		}
	}
	return run.verdict()
}

// explainPush makes a failure of why there is no connection.
func (o *options) explainPush(err error) error {
	if _, before := errors.AsType[*client.Error](err); before {
		return o.explain(err)
	}
	f := &failure{doing: pushing, err: errors.New(visible(withoutPush(err)))}
	if errors.Is(err, context.Canceled) {
		f.err = errors.New("interrupted")
	} else if _, ended := errors.AsType[*push.ByeError](err); !ended {
		f.hint = "is that listener one of the push service? gss-server --listen 'tls://:4448?service=push' makes one"
	}
	return f
}

// operations are those of the command line and of the batch, unless that comes
// by standard input.
func (o *options) operations() ([]*operation, error) {
	p := &o.push
	var ops []*operation
	if p.subscribe != "" {
		groups, err := parseGroups(p.subscribe)
		if err != nil {
			return nil, err
		}
		ops = append(ops, &operation{verb: "subscribe", groups: groups})
	}
	if p.sends() {
		msg, err := o.message()
		if err != nil {
			return nil, err
		}
		if len(msg) > pushwire.MaxData {
			return nil, &failure{doing: "reading the message", err: checkData(msg), hint: "send it in parts"}
		}
		if p.publish != "" {
			groups, err := parseGroups(p.publish)
			if err != nil {
				return nil, err
			}
			ops = append(ops, &operation{verb: "publish", groups: groups, data: msg})
		}
		if p.to != "" {
			ops = append(ops, &operation{verb: "to", to: p.to, data: msg})
		}
	}
	if p.batch == "" || p.batch == "-" {
		return ops, nil
	}
	const doing = "reading the batch"
	f, err := os.Open(p.batch)
	if err != nil {
		return nil, &failure{doing: doing, err: err}
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxBatch+1))
	if err == nil && len(content) > maxBatch {
		err = fmt.Errorf("%s is longer than %d bytes", p.batch, maxBatch)
	}
	if err != nil {
		return nil, &failure{doing: doing, err: err, hint: "--batch - reads operations from standard input, without end"}
	}
	batch, err := parseBatch(p.batch, content)
	if err != nil {
		return nil, &failure{doing: doing, err: err, hint: hintBatch}
	}
	return append(ops, batch...), nil
}

const hintBatch = "a line is: subscribe 1,3 | leave 1 | publish 1,2 TEXT | to alice TEXT | sign TEXT | wait 2s"

// requests are what a client and a batch have in common.
type requests interface {
	Subscribe(groups ...uint32) *push.Request
	Leave(groups ...uint32) *push.Request
	Publish(data []byte, groups ...uint32) *push.Request
	Send(to string, data []byte) *push.Request
	Sign(data []byte) *push.Request
}

// ask asks for the operation; wait is what differs.
func (op *operation) ask(r requests, wait func(time.Duration) *push.Request) *push.Request {
	switch op.verb {
	case "subscribe":
		return r.Subscribe(op.groups...)
	case "leave":
		return r.Leave(op.groups...)
	case "publish":
		return r.Publish(op.data, op.groups...)
	case "to":
		return r.Send(op.to, op.data)
	case "sign":
		return r.Sign(op.data)
	default:
		return wait(op.pause)
	}
}

// issueAll asks for operations, all at once.
func (run *pushRun) issueAll(ops []*operation) {
	batch := run.client.Batch()
	for _, op := range ops {
		run.issue(op, op.ask(batch, batch.Delay))
	}
	batch.Commit()
}

// issueLines asks for operations as their lines come. It is at work until there
// are no more, or the program ends.
func (run *pushRun) issueLines(in io.Reader) {
	defer close(run.issued)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		op, err := parseOperation(lines.Text())
		switch {
		case err != nil:
			run.complain(n, err)
		case op != nil:
			op.line = n
			run.issue(op, op.ask(run.client, run.client.Wait))
		}
	}
	if err := lines.Err(); err != nil {
		run.complain(0, err)
	}
}

// complain says what is wrong with a line of standard input, and goes on.
func (run *pushRun) complain(line int, err error) {
	what := "standard input: " + err.Error()
	if line > 0 {
		what = fmt.Sprintf("standard input:%d: %v", line, err)
	}
	run.count(what, "")
	complain(run.stderr, &failure{doing: "reading the batch", err: errors.New(what), hint: hintBatch})
}

func (run *pushRun) issue(op *operation, r *push.Request) {
	done := make(chan struct{})
	r.Then(func(result push.Result, err error) {
		run.view.result(op, result, err)
		run.count(run.told(op, err))
		close(done)
	})
	run.issued <- issued{op, done}
}

// told says what was wrong, and what to do about it; nothing if nothing was.
func (run *pushRun) told(op *operation, err error) (wrong, hint string) {
	if err == nil {
		return "", ""
	}
	if errors.Is(err, push.ErrNoGroup) || errors.Is(err, push.ErrForbidden) {
		hint = "the server has for you: " + rightsText(run.client.Groups())
	}
	return op.String() + ": " + reason(err), hint
}

func rightsText(groups []pushwire.Group) string {
	if len(groups) == 0 {
		return "no group"
	}
	var parts []string
	for _, g := range groups {
		var rights []string
		if g.Rights&pushwire.Read != 0 {
			rights = append(rights, "read")
		}
		if g.Rights&pushwire.Publish != 0 {
			rights = append(rights, "publish")
		}
		parts = append(parts, fmt.Sprintf("%d %s (%s)", g.Number, visible(g.Name), strings.Join(rights, ", ")))
	}
	return strings.Join(parts, ", ")
}

// count counts an operation, with what was wrong with it.
func (run *pushRun) count(wrong, hint string) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.total++
	if wrong == "" {
		return
	}
	if run.wrong++; run.wrong == 1 {
		run.first, run.hint = wrong, hint
	}
}

func (run *pushRun) lost(err error) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.gone = err
}

// results waits for all results. The server does one operation after the other, so
// each has the time limit for itself.
func (run *pushRun) results(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var next issued
		var more bool
		select {
		case next, more = <-run.issued:
		case <-ctx.Done():
			return run.interrupted()
		case <-run.client.Done():
			return run.o.explainPush(run.client.Err())
		}
		if !more {
			return nil
		}
		timer.Reset(run.o.timeout + next.op.pause)
		select {
		case <-next.done:
		case <-timer.C:
			return run.overdue(next.op)
		case <-ctx.Done():
			return run.interrupted()
		}
	}
}

// interrupted is what becomes of it when ctx ends while results are awaited: with
// standard input as the batch, there may be none under way.
func (run *pushRun) interrupted() error {
	if err := run.view.failure(); err != nil {
		return err
	}
	if run.o.push.watch && run.o.push.batch == "-" && len(run.issued) == 0 && run.client.UnderWay() == 0 {
		return run.verdict()
	}
	return &failure{doing: pushing, err: errors.New("interrupted")}
}

func (run *pushRun) overdue(op *operation) error {
	run.mu.Lock()
	defer run.mu.Unlock()
	err := fmt.Errorf("%s: no answer within %v", op, run.o.timeout)
	if run.gone != nil {
		err = fmt.Errorf("%w; the connection was lost: %w", err, run.gone)
	}
	return &failure{doing: pushing, err: err, hint: "--timeout gives it longer"}
}

// verdict says whether all was done.
func (run *pushRun) verdict() error {
	if err := run.view.failure(); err != nil {
		return err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	switch {
	case run.wrong == 0:
		return nil
	case run.total == 1:
		return &failure{doing: pushing, err: errors.New(visible(run.first)), hint: run.hint}
	}
	return &failure{doing: pushing, err: fmt.Errorf("%d of %d operations not done, the first: %s", run.wrong, run.total, visible(run.first)), hint: run.hint}
}
