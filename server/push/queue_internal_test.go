package push

import (
	"testing"

	"github.com/countersign-go/countersign/token/pushwire"
)

// A queue that is never empty does not grow.
func TestQueueNeverEmpty(t *testing.T) {
	limits, err := Limits{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m := &Member{hub: &Hub{cfg: &Config{Limits: limits}}}
	m.writing = true // by this test
	data := make([]byte, maxBatch)
	for range 3 {
		m.push(data, pushwire.Origin{}, nil)
	}
	for i := range 100_000 {
		if !m.push(data, pushwire.Origin{}, nil) || len(m.take(nil)) != 1 {
			t.Fatalf("message %d found no room", i)
		}
	}
	if room := cap(m.items); room > 4*maxKeptItems {
		t.Errorf("room for %d where 4 wait", room)
	}
}
