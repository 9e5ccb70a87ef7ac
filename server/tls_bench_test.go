package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

// What the TLS benchmarks compare in one run: handshakes and uploads of one Go
// client to our server and to openssl s_server, one connection at a time, for
// that is all that s_server serves; and what silent clients cost a good one.

// sink is a service that reads.
type sink struct{}

func (sink) Serve(_ context.Context, s *server.Session) error {
	s.Established()
	_, err := io.Copy(io.Discard, s)
	return err
}

func tlsSite(b *testing.B, service server.Service) (address string, client *tls.Config) {
	b.Helper()
	certs, err := pki.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	policy, err := tlspolicy.New(tlspolicy.Config{CertFile: certs.Path("server.crt"), KeyFile: certs.Path("server.key")})
	if err != nil {
		b.Fatal(err)
	}
	srv, err := server.New(server.Config{Grace: time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	l := listenTCP(b)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx, &server.Listener{Listener: policy.Listen(l), Service: service}) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String(), trusting(certs)
}

func trusting(certs *pki.PKI) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate("ca"))
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// opensslServer is s_server, which throws away what it receives.
func opensslServer(b *testing.B) (address string, client *tls.Config) {
	b.Helper()
	mitrealm.Need(b, "openssl")
	certs, err := pki.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certs.Path("server.crt"), "-key", certs.Path("server.key"), "-naccept", "1000000")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdin, err := cmd.StdinPipe() // it ends with it
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	r := bufio.NewReaderSize(stdout, 1<<20)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			b.Fatalf("openssl s_server: %v", err)
		}
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ACCEPT "); ok {
			go io.Copy(io.Discard, r)
			return addr, trusting(certs)
		}
	}
}

func BenchmarkTLSHandshake(b *testing.B) {
	run := func(b *testing.B, address string, client *tls.Config) {
		b.ResetTimer()
		for range b.N {
			conn, err := tls.Dial("tcp", address, client)
			if err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
	}
	b.Run("countersign", func(b *testing.B) {
		address, client := tlsSite(b, sink{})
		run(b, address, client)
	})
	b.Run("openssl", func(b *testing.B) {
		address, client := opensslServer(b)
		run(b, address, client)
	})
}

func BenchmarkTLSUpload(b *testing.B) {
	run := func(b *testing.B, address string, client *tls.Config) {
		conn, err := tls.Dial("tcp", address, client)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		block := make([]byte, 64<<10)
		for i := range block { // nothing that s_server takes for a command
			block[i] = 'x'
		}
		b.SetBytes(int64(len(block)))
		b.ResetTimer()
		for range b.N {
			if _, err := conn.Write(block); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("countersign", func(b *testing.B) {
		address, client := tlsSite(b, sink{})
		run(b, address, client)
	})
	b.Run("openssl", func(b *testing.B) {
		address, client := opensslServer(b)
		run(b, address, client)
	})
}

// A good client's connection, handshake and one echo, with and without clients
// that have connected and say nothing.
func BenchmarkSilentClients(b *testing.B) {
	for _, silent := range []int{0, 5000} {
		b.Run(fmt.Sprint(silent), func(b *testing.B) {
			address, client := tlsSite(b, echo.New(echo.Config{}))
			for range silent {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Skipf("left out: %d connections: %v", silent, err)
				}
				defer conn.Close()
			}
			took := make([]time.Duration, 0, b.N)
			msg := []byte("hello")
			visit := func() time.Duration {
				began := time.Now()
				conn, err := tls.Dial("tcp", address, client)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				if _, err = conn.Write(msg); err == nil {
					_, err = io.ReadFull(conn, make([]byte, len(msg)))
				}
				if err != nil {
					b.Fatal(err)
				}
				return time.Since(began)
			}
			visit() // comes after the silent ones: they have all been accepted
			b.ResetTimer()
			for range b.N {
				took = append(took, visit())
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
