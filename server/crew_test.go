package server

import (
	"sync"
	"testing"
	"testing/synctest"
)

// However many sessions come, each is served once, by as many goroutines at a
// time as there are sessions; few of them wait for more, and none stays when all
// is over.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd = 3 * maxIdleCrew
		var mu sync.Mutex
		served := make(map[*front]int)
		leave := make(chan struct{})
		c := newCrew(func(f *front) {
			mu.Lock()
			served[f]++
			mu.Unlock()
			<-leave
		})
		check := func(sessions, idle int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(served) != sessions || c.idle != idle {
				t.Errorf("%d sessions served, %d goroutines wait, want %d and %d", len(served), c.idle, sessions, idle)
			}
			for _, n := range served {
				if n != 1 {
					t.Errorf("a session was served %d times", n)
				}
			}
		}
		for range crowd {
			c.take(new(front))
		}
		check(crowd, 0)
		close(leave)
		check(crowd, maxIdleCrew)
		for range maxIdleCrew / 2 {
			c.take(new(front))
		}
		check(crowd+maxIdleCrew/2, maxIdleCrew)
		c.dismiss()
		check(crowd+maxIdleCrew/2, 0)
	})
}
