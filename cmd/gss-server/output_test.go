package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

// Whatever comes is written whole and in order, by however many at once.
func TestQueueKeepsOrder(t *testing.T) {
	const writers, events = 8, 500
	var got bytes.Buffer
	q := newQueue(&got, nil)
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range events {
				fmt.Fprintf(q, "%d %d\nsecond line of %d %d\n", w, i, w, i)
			}
		})
	}
	work.Wait()
	q.flush(nil)
	var next [writers]int
	lines := strings.Split(got.String(), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		var w, n int
		if _, err := fmt.Sscanf(lines[i], "%d %d", &w, &n); err != nil {
			t.Fatal(err)
		}
		if n != next[w] || lines[i+1] != "second line of "+lines[i] {
			t.Fatalf("%q, %q after %d events of %d", lines[i], lines[i+1], next[w], w)
		}
		next[w]++
	}
	for w, n := range next {
		if n != events {
			t.Errorf("%d events of %d, want %d", n, w, events)
		}
	}
}

// When nobody reads, lines are dropped whole, in bounded memory and time; when
// somebody does again, the loss stands where the lines would have been.
func TestQueueSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		log := logrus.New()
		log.SetOutput(&logged)
		r, w := io.Pipe()
		q := newQueue(w, log)
		event := []byte(strings.Repeat("x", 1<<20-1) + "\n")
		fmt.Fprint(q, "first\n")
		time.Sleep(outputDelay)
		synctest.Wait() // it is being written
		for range 20 {
			if n, err := q.Write(event); n != len(event) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
		if n := len(q.pending); n > outputRoom {
			t.Errorf("%d bytes wait, want at most %d", n, outputRoom)
		}
		if !strings.Contains(logged.String(), "standard output is not read, dropping lines") {
			t.Errorf("log:\n%s", logged.String())
		}

		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			read <- string(all)
		}()
		synctest.Wait()
		fmt.Fprint(q, "last\n")
		q.flush(nil)
		w.Close()
		got := <-read
		want := "first\n" + strings.Repeat(string(event), 8) + "... 12 lines lost\nlast\n"
		if got != want {
			t.Errorf("%d bytes, ending in %q, want %d", len(got), got[max(0, len(got)-60):], len(want))
		}
		if !strings.Contains(logged.String(), "lines=12") {
			t.Errorf("log:\n%s", logged.String())
		}
		close(q.more) // its goroutine ends
	})
}

// What is printed in a short time is one write; a single event does not wait for
// others for ever, and much of it not at all.
func TestQueueWritesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writes := make(chan string, 10)
		q := newQueue(writerFunc(func(b []byte) (int, error) {
			writes <- string(b)
			return len(b), nil
		}), nil)
		start := time.Now()
		for _, event := range []string{"one\n", "two\n", "three\n"} {
			fmt.Fprint(q, event)
			synctest.Wait()
		}
		if got := <-writes; got != "one\ntwo\nthree\n" || time.Since(start) != outputDelay {
			t.Errorf("%q after %s", got, time.Since(start))
		}
		start = time.Now()
		fmt.Fprint(q, "a few\n")
		fmt.Fprint(q, strings.Repeat("many\n", outputBatch/5))
		if got := <-writes; len(got) != len("a few\n")+outputBatch/5*5 || time.Since(start) != 0 {
			t.Errorf("%d bytes after %s", len(got), time.Since(start))
		}
		fmt.Fprint(q, "last\n")
		q.flush(nil)
		if got := <-writes; got != "last\n" || time.Since(start) != 0 {
			t.Errorf("%q after %s", got, time.Since(start))
		}
		close(q.more) // its goroutine ends
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
