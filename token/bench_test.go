package token_test

import (
	"fmt"
	"testing"

	"github.com/countersign-go/countersign/token"
)

// BenchmarkFrame writes a frame in place and reads it back, without a network.
func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{64, 1 << 10, 16 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", n), func(b *testing.B) {
			data := pattern(n)
			c := conn(b, token.V2, 0, &loop{})
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				err := c.WriteFrameFunc(token.Data, func(dst []byte) ([]byte, error) { return append(dst, data...), nil })
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
