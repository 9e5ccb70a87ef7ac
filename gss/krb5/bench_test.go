package krb5_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

var benchSizes = []int{64, 1024, 16384, 65536, 1 << 20}

// BenchmarkContextPair initiates and accepts contexts with mutual
// authentication, the ticket cached and replays checked.
func BenchmarkContextPair(b *testing.B) {
	for _, enctype := range allEnctypes {
		b.Run("enctype="+strconv.Itoa(int(enctype)), func(b *testing.B) {
			s := newSetup(b, enctype)
			i, a := s.initiator(b), s.acceptor(b)
			b.ReportAllocs()
			for b.Loop() {
				ic, ac := pair(b, i, a, gss.Request{Target: gss.HostService(service)})
				ic.Delete()
				ac.Delete()
			}
		})
	}
}

// BenchmarkAccept accepts AP-REQs made beforehand.
func BenchmarkAccept(b *testing.B) {
	for _, enctype := range allEnctypes {
		b.Run("enctype="+strconv.Itoa(int(enctype)), func(b *testing.B) {
			s := newSetup(b, enctype)
			i, a := s.initiator(b), s.acceptor(b)
			var tokens [][]byte
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%1000 == 0 {
					b.StopTimer()
					tokens = tokens[:0]
					for range 1000 {
						ic, err := i.Initiate(b.Context(), gss.Request{Target: gss.HostService(service)})
						must(b, err)
						token, err := ic.Step(nil)
						must(b, err)
						tokens = append(tokens, token)
					}
					b.StartTimer()
				}
				ac, err := a.Accept(nil)
				must(b, err)
				if _, err := ac.Step(tokens[n%1000]); err != nil {
					b.Fatal(err)
				}
				ac.Delete()
			}
		})
	}
}

// benchMessages runs f for every enctype and size, with an established context.
func benchMessages(b *testing.B, flags gss.Flags, f func(b *testing.B, ic, ac gss.Context, msg []byte)) {
	for _, enctype := range allEnctypes {
		s := newSetup(b, enctype)
		i, a := s.initiator(b), s.acceptor(b)
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("enctype=%d/size=%d", enctype, size), func(b *testing.B) {
				ic, ac := pair(b, i, a, gss.Request{Target: gss.HostService(service), Flags: flags})
				b.SetBytes(int64(size))
				b.ReportAllocs()
				f(b, ic, ac, make([]byte, size))
			})
		}
	}
}

func BenchmarkGetMIC(b *testing.B) {
	benchMessages(b, gss.DefaultFlags, func(b *testing.B, ic, _ gss.Context, msg []byte) {
		var mic []byte
		for b.Loop() {
			var err error
			if mic, err = ic.MIC(mic[:0], msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyMIC verifies one MIC again and again, in a context without
// replay detection.
func BenchmarkVerifyMIC(b *testing.B) {
	benchMessages(b, gss.Mutual, func(b *testing.B, ic, ac gss.Context, msg []byte) {
		mic, err := ic.MIC(nil, msg)
		must(b, err)
		for b.Loop() {
			if err := ac.VerifyMIC(msg, mic); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWrap(b *testing.B) {
	benchMessages(b, gss.DefaultFlags, func(b *testing.B, ic, _ gss.Context, msg []byte) {
		var token []byte
		for b.Loop() {
			var err error
			if token, err = ic.Wrap(token[:0], msg, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUnwrap unwraps one token again and again, in a context without
// replay detection.
func BenchmarkUnwrap(b *testing.B) {
	benchMessages(b, gss.Mutual, func(b *testing.B, ic, ac gss.Context, msg []byte) {
		token, err := ic.Wrap(nil, msg, true)
		must(b, err)
		var out []byte
		for b.Loop() {
			if out, _, err = ac.Unwrap(out[:0], token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
