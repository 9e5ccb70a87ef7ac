package push_test

import (
	"fmt"
	"testing"

	"github.com/countersign-go/countersign/client/push"
	serverpush "github.com/countersign-go/countersign/server/push"
)

// BenchmarkPublish has one client publish to itself through our server: a request,
// its result, and the publication.
func BenchmarkPublish(b *testing.B) {
	k := newKerberos(b)
	for _, size := range []int{64, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := tcp(b)
			k.serve(b, l, serverpush.Config{Limits: serverpush.Limits{QueueBytes: 64 << 20, Queue: 1 << 20}})
			cfg := k.config(b, "alice", l.Addr().String())
			cfg.Groups = []uint32{1}
			missing := b.N
			through := make(chan bool)
			cfg.Events.Published = func(push.Publication) {
				if missing--; missing == 0 {
					close(through)
				}
			}
			c, err := push.Dial(b.Context(), cfg)
			check(b, err)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				c.Publish(data, 1)
			}
			<-through
			b.StopTimer()
			check(b, c.Close())
			<-c.Done()
		})
	}
}
