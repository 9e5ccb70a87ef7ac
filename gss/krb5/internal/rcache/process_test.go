package rcache

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// storeEnv makes this test's program a child of TestProcesses: it holds the cache's path.
const storeEnv = "RCACHE_TEST_STORE"

const childTags = 2500 // more than the first table has slots

func TestMain(m *testing.M) {
	if path := os.Getenv(storeEnv); path != "" {
		os.Exit(child(path))
	}
	os.Exit(m.Run())
}

// child stores all tags and prints a 1 for each that was new.
func child(path string) int {
	f, err := OpenFile2(path, Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	now := time.Now()
	won := make([]byte, childTags)
	for i := range won {
		switch err := f.Store(tag(i), now); {
		case err == nil:
			won[i] = '1'
		case errors.Is(err, ErrReplay):
			won[i] = '0'
		default:
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	fmt.Print(string(won))
	return 0
}

// Several processes store the same tags at once, and two caches of this process: each tag is new for exactly one.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rc")
	const children = 4
	var results [children + 2]string
	var wg sync.WaitGroup
	for i := range children {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), storeEnv+"="+path)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v: %s", err, &stderr)
			}
			results[i] = string(out)
		})
	}
	for i := range 2 {
		f := openFile(t, path, Config{})
		wg.Go(func() {
			var won strings.Builder
			for n := range childTags {
				err := f.Store(tag(n), time.Now())
				switch {
				case err == nil:
					won.WriteByte('1')
				case errors.Is(err, ErrReplay):
					won.WriteByte('0')
				default:
					t.Error(err)
				}
			}
			results[children+i] = won.String()
		})
	}
	wg.Wait()
	total := make([]int, childTags)
	for i, r := range results {
		if len(r) != childTags {
			t.Fatalf("process %d reports on %d tags", i, len(r))
		}
		t.Logf("process %d stored %d", i, strings.Count(r, "1"))
		for n := range r {
			total[n] += int(r[n] - '0')
		}
	}
	for n, winners := range total {
		if winners != 1 {
			t.Errorf("tag %d was new %d times", n, winners)
		}
	}
}
