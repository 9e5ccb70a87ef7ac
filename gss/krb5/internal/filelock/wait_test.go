package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// twice opens one file two times, for two that lock it.
func twice(t *testing.T) (first, second *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files[i] = f
	}
	return files[0], files[1]
}

// Whoever waits for a lock that is not given up is told which file's it is, when its context ends and in any case after the
// longest wait, and has it at once when it comes free.
func TestWaitEnds(t *testing.T) {
	for _, exclusive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			held, f := twice(t)
			unlock, err := Lock(t.Context(), held, true)
			if err != nil {
				t.Fatal(err)
			}
			refused := func(want time.Duration, cause error, text string) func(func(), error) {
				start := time.Now()
				return func(unlock func(), err error) {
					t.Helper()
					if waited := time.Since(start); err == nil || waited != want {
						t.Fatalf("exclusive %v: %v after %v, want an error after %v", exclusive, err, waited, want)
					}
					var path *os.PathError
					if !errors.Is(err, ErrLocked) || !errors.As(err, &path) || path.Path != f.Name() || cause != nil && !errors.Is(err, cause) || !strings.Contains(err.Error(), text) {
						t.Errorf("exclusive %v: %v", exclusive, err)
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			refused(300*time.Millisecond, context.DeadlineExceeded, "locked by another program")(Lock(ctx, f, exclusive))
			refused(0, context.DeadlineExceeded, "")(Lock(ctx, f, exclusive))

			ctx, cancelLater := context.WithCancelCause(t.Context())
			interrupted := errors.New("interrupted")
			time.AfterFunc(time.Second, func() { cancelLater(interrupted) })
			refused(time.Second, interrupted, "")(Lock(ctx, f, exclusive))
			refused(longestWait, nil, "not given up for 10s")(Lock(t.Context(), f, exclusive))
			refused(time.Second, nil, "not given up for 1s")(LockWithin(time.Second, f, exclusive))

			start := time.Now()
			time.AfterFunc(time.Second, unlock)
			unlock, err = Lock(t.Context(), f, exclusive)
			if waited := time.Since(start); err != nil || waited < time.Second || waited > time.Second+longestPause {
				t.Fatalf("exclusive %v: a lock given up after a second: %v after %v", exclusive, err, waited)
			}
			unlock()

			// What is free is taken, however late it is.
			over, cancel := context.WithCancel(t.Context())
			cancel()
			unlock, err = Lock(over, held, true)
			if err != nil {
				t.Fatal(err)
			}
			unlock()
		})
	}
}
