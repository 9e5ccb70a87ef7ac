package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

const serviceName = "host@localhost"

// A site is a realm with the programs of both sides, and alice.
type site struct {
	*realm
	alice   *krb5.Initiator
	program map[string][]string // by side: the server's command
	echo    string              // the floor's program
	preload string              // gives MIT's server TCP_NODELAY
}

func (b *bench) newSite() (*site, error) {
	r, err := b.newSiteRealm(18)
	if err != nil {
		return nil, err
	}
	s := &site{realm: r}
	if err := s.fill(b); err != nil {
		r.close()
		return nil, err
	}
	return s, nil
}

func (s *site) fill(b *bench) error {
	// As make build does it.
	if err := build("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", b.path("gss-server"), "./cmd/gss-server"); err != nil {
		return err
	}
	s.echo = b.path("echo")
	if err := build("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", s.echo, "./testdata/bench/echo"); err != nil {
		return err
	}
	s.program = map[string][]string{"ours": {b.path("gss-server"), "-max-connections", "20000"}}
	if path, err := exec.LookPath("gss-server"); err != nil {
		left("MIT's gss-server: install krb5-gss-samples")
	} else if err := build("cc", "-O2", "-shared", "-fPIC", "-o", b.path("nodelay.so"), "testdata/bench/mit/nodelay.c", "-ldl"); err != nil {
		left("MIT's gss-server: %v", err)
	} else {
		s.program["mit"], s.preload = []string{path}, b.path("nodelay.so")
	}
	conf := filepath.Join(b.dir, "krb5.conf")
	if err := os.WriteFile(conf, s.conf, 0o600); err != nil {
		return err
	}
	profile, err := krb5.ReadProfile(conf)
	if err != nil {
		return err
	}
	cred, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: password, Profile: profile,
	})
	if err != nil {
		return err
	}
	s.alice, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	return err
}

// sides gives those that can be measured, MIT's first.
func (s *site) sides() []string {
	if s.program["mit"] == nil {
		return []string{"ours"}
	}
	return []string{"mit", "ours"}
}

func (s *site) command(side string, args ...string) *exec.Cmd {
	program := s.program[side]
	cmd := exec.Command(program[0], slices.Concat(program[1:], args, []string{serviceName})...)
	cmd.Env = s.env
	if side == "mit" {
		cmd.Env = append(cmd.Env, "LD_PRELOAD="+s.preload)
	}
	return cmd
}

// A server is a running gss-server.
type server struct {
	site *site
	cmd  *exec.Cmd
	end  func()
	addr string
}

// start has a server print nowhere, and log to us.
func (s *site) start(side string) (*server, error) { return s.startWith(side, nil) }

// startPrinting has it print to a file, as a service does, and log to another.
func (s *site) startPrinting(side, dir string) (*server, error) {
	out, err := os.Create(filepath.Join(dir, side+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close() // it has its own
	if side == "ours" {
		return s.startWith(side, out, "-logfile", filepath.Join(dir, "log"))
	}
	return s.startWith(side, out)
}

func (s *site) startWith(side string, out *os.File, args ...string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := s.command(side, append(args, "-port", port)...)
	return s.run(cmd, port, out)
}

// startEcho starts the floor, with the answers of one connection.
func (s *site) startEcho(answers ...int) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	args := []string{port}
	for _, n := range answers {
		args = append(args, strconv.Itoa(n))
	}
	return s.run(exec.Command(s.echo, args...), port, nil)
}

func (s *site) run(cmd *exec.Cmd, port string, out *os.File) (*server, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close() // it has its own
	if cmd.Stdout = out; out == nil {
		cmd.Stdout = null
	}
	end, err := startReady(cmd)
	if err != nil {
		return nil, err
	}
	return &server{s, cmd, end, "localhost:" + port}, nil
}

func (s *server) stop() { s.end() }

func (s *server) config() client.Config {
	return client.Config{Addr: s.addr, Initiator: s.site.alice, Target: gss.HostService(serviceName)}
}

func (s *server) dial() (*client.Session, error) {
	return client.Dial(context.Background(), s.config())
}

// cpu is the CPU time of all the server's threads.
func (s *server) cpu() (time.Duration, error) {
	t, err := s.schedule()
	return t.running, err
}

// A schedule is for how long threads ran, and for how long they could have run
// and waited for a processor.
type schedule struct{ running, waiting time.Duration }

func (s *server) schedule() (sum schedule, err error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil || len(stats) == 0 {
		return sum, errors.Join(err, errors.New("no CPU time in /proc"))
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			return sum, err
		}
		var t schedule
		if _, err := fmt.Sscan(string(data), &t.running, &t.waiting); err != nil {
			return sum, fmt.Errorf("%s: %w", name, err)
		}
		sum.running += t.running
		sum.waiting += t.waiting
	}
	return sum, nil
}

// resident is the server's memory in bytes.
func (s *server) resident() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range lines(data) {
		var kilobytes float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kilobytes); n == 1 {
			return kilobytes * 1024, nil
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// text is what the servers print: a message of n letters.
func text(n int) []byte { return []byte(strings.Repeat("m", n)) }

// server measures the programs.
func (b *bench) server() error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	if err := build("go", "test", "-c", "-o", b.path("server.test"), "./server"); err != nil {
		return err
	}
	rounds := b.rounds(5)
	for round := range rounds {
		progress("server, round %d of %d", round+1, rounds)
		if err := b.loopback(); err != nil {
			return err
		}
		if err := b.serverCPU(s); err != nil {
			return err
		}
		for range 20 {
			for _, side := range append(s.sides(), "go") {
				if err := b.inetd(s, side); err != nil {
					return fmt.Errorf("%s under -inetd: %w", side, err)
				}
			}
		}
		if err := b.halfLoad(s); err != nil {
			return err
		}
		if err := b.idle(s); err != nil {
			return err
		}
	}
	return nil
}

var loopbackLine = regexp.MustCompile(`^Benchmark(Bare)?(Exchange|Connection)\S*\s.*?([\d.]+) ops/s`)

// loopback runs the benchmarks of whole exchanges and bare ones.
func (b *bench) loopback() error {
	time := "-test.benchtime=1s"
	if b.quick {
		time = "-test.benchtime=0.1s"
	}
	for _, pattern := range []string{"Exchange$/^size=1024$/^conns=64$", "Connection$"} {
		out, err := exec.Command(b.path("server.test"), "-test.run=^$", "-test.bench="+pattern, time).Output()
		if err != nil {
			return fmt.Errorf("benchmarks of server: %w\n%s", err, out)
		}
		for line := range lines(out) {
			m := loopbackLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			k := key{"ours", strings.ToLower(m[2]) + "s/s", 18, 1024}
			if m[1] != "" {
				k.side = "go"
			}
			rate, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				return err
			}
			b.figures.add(k, rate)
		}
	}
	return nil
}

// inetd is the time from exec to the first byte of the AP-REP, all that the
// client has to say being there already.
func (b *bench) inetd(s *site, side string) error {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	accepted, err := l.Accept()
	if err != nil {
		return err
	}
	defer accepted.Close()
	file, err := accepted.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	frames, err := token.Config{Version: token.V2}.NewConn(conn)
	if err != nil {
		return err
	}
	sec, err := s.alice.Initiate(context.Background(), gss.Request{Target: gss.HostService(serviceName)})
	if err != nil {
		return err
	}
	defer sec.Delete()
	request, err := sec.Step(nil)
	if err != nil {
		return err
	}
	if err := frames.WriteToken(request); err != nil {
		return err
	}
	cmd := exec.Command(s.echo, "-inetd", strconv.Itoa(header+reply))
	if side != "go" {
		cmd = s.command(side, "-inetd")
	}
	cmd.Stdin, cmd.Stdout = file, file
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if err := conn.SetReadDeadline(start.Add(10 * time.Second)); err != nil {
		return err
	}
	var first [1]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return err
	}
	b.figures.add(key{side, "inetd", 18, 0}, float64(time.Since(start)))
	return nil
}

// idle is what 10,000 connections that stand and say nothing cost.
func (b *bench) idle(s *site) error {
	srv, err := s.start("ours")
	if err != nil {
		return err
	}
	defer srv.stop()
	if err := b.newClients(srv, 0); err != nil {
		return err
	}
	sessions, err := srv.dialMany(10000)
	defer closeAll(sessions)
	if err != nil {
		left("10,000 idle connections (ulimit -n): %v", err)
		return nil
	}
	memory, err := srv.resident()
	if err != nil {
		return err
	}
	b.figures.add(idleMemory, memory)
	return b.newClients(srv, len(sessions))
}

// newClients measures whole connections beside some idle ones.
func (b *bench) newClients(srv *server, idle int) error {
	times := make([]time.Duration, 1000)
	if b.quick {
		times = times[:100]
	}
	for i := range times {
		start := time.Now()
		session, err := srv.dial()
		if err != nil {
			return err
		}
		if _, err := session.Sign(text(1024)); err != nil {
			return err
		}
		if err := session.Close(); err != nil {
			return err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	b.figures.add(key{"ours", "connect-p99", 18, idle}, float64(times[len(times)*99/100]))
	return nil
}

// dialMany makes n sessions, some at a time; with the error those that stand.
func (s *server) dialMany(n int) ([]*client.Session, error) {
	var (
		mu       sync.Mutex
		sessions []*client.Session
		failed   error
		work     sync.WaitGroup
		slots    = make(chan struct{}, 16)
	)
	for range n {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			session, err := s.dial()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			sessions = append(sessions, session)
		})
	}
	work.Wait()
	return sessions, failed
}

func closeAll(sessions []*client.Session) {
	for _, s := range sessions {
		_ = s.Close()
	}
}
