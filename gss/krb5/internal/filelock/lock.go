package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrLocked means that another holds the lock and kept it for longer than was to be waited.
var ErrLocked = errors.New("locked by another program")

const (
	// longestWait bounds the wait whatever the context allows. Locks are held for as long as it takes to read or write a file;
	// who holds one for longer has been stopped, or means harm.
	longestWait = 10 * time.Second

	// Pauses between attempts grow by doubling from the first, which is about what a replay cache is locked for, to the
	// longest.
	firstPause   = 20 * time.Microsecond
	longestPause = 20 * time.Millisecond
)

// errBusy is what an attempt gives when the lock is another's.
var errBusy = errors.New("the lock is taken")

// Lock waits for a lock on the whole of f: exclusive, for which f must be open for writing, or shared, for which it must be
// open for reading. The function that it returns releases the lock; call it before f is closed. The wait ends with ctx, or
// after ten seconds: the error then is [ErrLocked] and says whose the lock is where the system tells. A lock that is free is
// taken even when ctx is over.
func Lock(ctx context.Context, f *os.File, exclusive bool) (unlock func(), err error) {
	return lock(ctx, longestWait, f, exclusive)
}

// LockWithin is Lock with a limit to the wait in place of a context.
func LockWithin(limit time.Duration, f *os.File, exclusive bool) (unlock func(), err error) {
	return lock(context.Background(), limit, f, exclusive)
}

func lock(ctx context.Context, limit time.Duration, f *os.File, exclusive bool) (unlock func(), err error) {
	if unlock, err = try(f, exclusive); errors.Is(err, errBusy) {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not given up for %v", limit))
		defer cancel()
		unlock, err = wait(ctx, f, exclusive)
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return unlock, nil
}

func wait(ctx context.Context, f *os.File, exclusive bool) (func(), error) {
	next := time.NewTimer(firstPause)
	defer next.Stop()
	for pause := firstPause; ; {
		select {
		case <-next.C:
		case <-ctx.Done():
			if pid := holder(f, exclusive); pid > 0 {
				return nil, fmt.Errorf("%w (process %d): %w", ErrLocked, pid, context.Cause(ctx))
			}
			return nil, fmt.Errorf("%w: %w", ErrLocked, context.Cause(ctx))
		}
		if unlock, err := try(f, exclusive); !errors.Is(err, errBusy) {
			return unlock, err
		}
		pause = min(2*pause, longestPause)
		next.Reset(pause)
	}
}
