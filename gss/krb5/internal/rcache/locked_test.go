package rcache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
)

// A file that another program keeps locked has every request refused, all who wait for it before long, and none for good.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rc")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile2(path, Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		held, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		unlock, err := filelock.Lock(t.Context(), held, true)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				err := f.Store(tag(i), time.Now())
				if !errors.Is(err, filelock.ErrLocked) || !strings.Contains(err.Error(), path) {
					t.Errorf("tag %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if waited := time.Since(start); waited < lockWait || waited > 2*lockWait {
			t.Errorf("all have given up after %v", waited)
		}
		unlock()
		want(t, "afterwards", f.Store(tag(1), time.Now()), nil)
	})
}
