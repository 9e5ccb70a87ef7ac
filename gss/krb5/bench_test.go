package krb5_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

var benchSizes = []int{64, 1024, 16384, 65536, 1 << 20}

// BenchmarkContextPair initiates and accepts contexts with mutual
// authentication, the ticket cached and replays checked. With stores=file the
// cache, the keytab and the replay cache are files, with stores=memory none is,
// with stores=replays the replay cache alone.
func BenchmarkContextPair(b *testing.B) {
	for _, stores := range []string{"file", "replays", "memory"} {
		for _, enctype := range allEnctypes {
			b.Run(fmt.Sprintf("stores=%s/enctype=%d", stores, enctype), func(b *testing.B) {
				i, a := benchEnds(b, stores, enctype)
				b.ReportAllocs()
				defer reportCPU(b)()
				for b.Loop() {
					ic, ac := pair(b, i, a, gss.Request{Target: gss.HostService(service)})
					ic.Delete()
					ac.Delete()
				}
			})
		}
	}
}

// benchEnds makes both ends of contexts, with the stores in files or in memory. The ticket is in the cache already.
func benchEnds(b *testing.B, stores string, enctype int32) (*krb5.Initiator, *krb5.Acceptor) {
	b.Helper()
	s := newSetup(b, enctype)
	_, err := s.initiator(b).Initiate(b.Context(), gss.Request{Target: gss.HostService(service)}) // gets the ticket
	must(b, err)
	replays := krb5.NewMemoryReplayCache(s.profile)
	if stores != "memory" {
		replays, err = krb5.OpenReplayCache("file2:"+filepath.Join(b.TempDir(), "rcache"), s.profile)
		must(b, err)
		b.Cleanup(func() { must(b, replays.Close()) })
	}
	if stores == "file" {
		data, err := s.realm.Keytab("host/localhost")
		must(b, err)
		path := writeFile(b, "keytab", data)
		// As a keytab in service is: one just written is read again each time.
		old := time.Now().Add(-time.Hour)
		must(b, os.Chtimes(path, old, old))
		s.keytab, err = krb5.OpenKeytab(path)
		must(b, err)
	} else {
		cred, err := krb5.AcquireCredential(b.Context(), krb5.CredentialConfig{Usage: gss.InitiateOnly, Cache: s.cache, Profile: s.profile})
		must(b, err)
		s.cache = krb5.NewMemoryCache()
		must(b, cred.Store(s.cache))
	}
	return s.initiator(b), s.acceptorWith(b, krb5.AcceptorConfig{ReplayCache: replays})
}

// reportCPU adds the process's CPU time, garbage collection included, to what
// the benchmark reports: what can be held against another library's.
func reportCPU(b *testing.B) func() {
	start := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkAccept accepts AP-REQs made beforehand, all in memory.
func BenchmarkAccept(b *testing.B) {
	for _, enctype := range allEnctypes {
		b.Run("enctype="+strconv.Itoa(int(enctype)), func(b *testing.B) {
			const batch = 1000
			i, a := benchEnds(b, "memory", enctype)
			tokens := make([][]byte, batch)
			var outside time.Duration // CPU time of making them
			b.ReportAllocs()
			start := cpuTime()
			for n := 0; b.Loop(); n++ {
				if n%batch == 0 {
					b.StopTimer()
					making := cpuTime()
					for k := range tokens {
						ic, err := i.Initiate(b.Context(), gss.Request{Target: gss.HostService(service)})
						must(b, err)
						tokens[k], err = ic.Step(nil)
						must(b, err)
					}
					outside += cpuTime() - making
					b.StartTimer()
				}
				ac, err := a.Accept(nil)
				must(b, err)
				if _, err := ac.Step(tokens[n%batch]); err != nil {
					b.Fatal(err)
				}
				ac.Delete()
			}
			b.ReportMetric(float64(cpuTime()-start-outside)/float64(b.N), "cpu-ns/op")
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
				defer reportCPU(b)()
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

// BenchmarkGoCrypto is what the standard library's CBC and HMAC alone take for
// the bytes that a token protects, with the keys set up beforehand: confounder,
// message and header for seal and open, message and header for mic.
func BenchmarkGoCrypto(b *testing.B) {
	for _, e := range []struct {
		enctype, key int
		hash         func() hash.Hash
	}{{17, 16, sha1.New}, {18, 32, sha1.New}, {19, 16, sha256.New}, {20, 32, sha512.New384}} {
		for _, size := range benchSizes {
			block, err := aes.NewCipher(make([]byte, e.key))
			must(b, err)
			mac, sum := hmac.New(e.hash, make([]byte, e.key)), make([]byte, 0, 64)
			run := func(op string, buf []byte, mode cipher.BlockMode) {
				b.Run(fmt.Sprintf("op=%s/enctype=%d/size=%d", op, e.enctype, size), func(b *testing.B) {
					b.SetBytes(int64(size))
					defer reportCPU(b)()
					for b.Loop() {
						if mode != nil {
							mode.CryptBlocks(buf, buf)
						}
						mac.Reset()
						mac.Write(buf)
						mac.Sum(sum)
					}
				})
			}
			iv := make([]byte, aes.BlockSize)
			run("seal", make([]byte, 16+size+16), cipher.NewCBCEncrypter(block, iv))
			run("open", make([]byte, 16+size+16), cipher.NewCBCDecrypter(block, iv))
			run("mic", make([]byte, size+16), nil)
		}
	}
}
