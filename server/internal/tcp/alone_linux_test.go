package tcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// solitary makes a connection that is alone, its client, and what is closed when
// it is not alone any more.
func solitary(t testing.TB, l *Listener) (conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	t.Helper()
	if runtime.GOMAXPROCS(0) == 1 {
		t.Cleanup(func() { runtime.GOMAXPROCS(1) })
		runtime.GOMAXPROCS(2)
	}
	client = dial(t, l)
	conn = accept(t, l)
	crowd := make(chan struct{})
	end = conn.Alone(func() { close(crowd) })
	if end == nil {
		t.Fatal("not alone")
	}
	t.Cleanup(func() { end() })
	if conn.tcp.Load() != nil {
		t.Fatal("alone, and the runtime's all the same")
	}
	return conn, client, end, crowd
}

// bothWays tests a connection that is new, and one that has been read so often that
// it is just read.
func bothWays(t *testing.T, test func(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{})) {
	for _, brisk := range []bool{false, true} {
		t.Run(fmt.Sprintf("brisk=%v", brisk), func(t *testing.T) {
			l := listen(t)
			conn, client, end, crowded := solitary(t, l)
			for range briskAfter {
				if brisk {
					say(t, client, conn, "hello")
				}
			}
			if conn.brisk != brisk {
				t.Fatalf("brisk: %v", conn.brisk)
			}
			test(t, l, conn, client, end, crowded)
		})
	}
}

func wantCrowd(t testing.TB, crowded <-chan struct{}, end func() bool) {
	t.Helper()
	<-crowded
	if end() {
		t.Error("alone until the end, though crowd was called")
	}
}

// reading reads one byte in another goroutine, once that waits in the kernel.
func reading(t testing.TB, conn *Conn) <-chan error {
	t.Helper()
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	for {
		conn.l.mu.Lock()
		waiting := conn.l.waiting
		conn.l.mu.Unlock()
		if waiting {
			return read
		}
		runtime.Gosched()
	}
}

// One connection after the other is served outside of the runtime's poller, and
// the listener with them.
func TestAlone(t *testing.T) {
	l := listen(t)
	for range 3 {
		conn, client, end, _ := solitary(t, l)
		say(t, client, conn, "to the server")
		say(t, conn, client, "to the client")
		if got, want := conn.LocalAddr().String(), client.RemoteAddr().String(); got != want {
			t.Errorf("local address %s, want %s", got, want)
		}
		if got, want := conn.RemoteAddr().String(), client.LocalAddr().String(); got != want {
			t.Errorf("remote address %s, want %s", got, want)
		}
		QuickACK(conn)
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(client); len(rest) != 0 || err != nil {
			t.Errorf("%q after the end, %v", rest, err)
		}
		client.Close()
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes after the client's end, %v", n, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		for _, err := range []error{conn.Close(), second(conn.Read(nil)), second(conn.Write(nil)), conn.CloseWrite()} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("of a closed connection: %v", err)
			}
		}
		if !end() {
			t.Error("not alone until the end")
		}
		if l.tcp != nil {
			t.Error("the runtime's poller has the listener")
		}
	}
}

func second[T any](_ T, err error) error { return err }

// When another connection comes while the first one waits, somebody else accepts
// it, and the first goes on.
func TestAnotherComes(t *testing.T) { bothWays(t, testAnotherComes) }

func testAnotherComes(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	if err := conn.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	read := reading(t, conn)
	other := dial(t, l)
	<-crowded
	served := accept(t, l)
	if served.Alone(func() {}) != nil {
		t.Error("alone, and there is another")
	}
	say(t, other, served, "the second")
	say(t, client, client2{conn, read}, "x")
	say(t, conn, client, "the first")
	wantCrowd(t, crowded, end)
	if conn.tcp.Load() == nil {
		t.Error("the runtime's poller does not have the first connection")
	}
	// Its deadline went with it.
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after its deadline: %v", err)
	}
}

// A client2 hears by the read that is under way.
type client2 struct {
	net.Conn
	read <-chan error
}

func (c client2) Read(p []byte) (int, error) {
	p[0] = 'x'
	return 1, <-c.read
}

// A connection that always has something to say does not keep others out.
func TestTalkative(t *testing.T) { bothWays(t, testTalkative) }

func testTalkative(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	talked := make(chan struct{})
	go func() {
		defer close(talked)
		for {
			if _, err := client.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}()
	dial(t, l)
	buf := make([]byte, 64)
	for came := false; !came; {
		if _, err := conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		select {
		case <-crowded:
			came = true
		default:
		}
	}
	wantCrowd(t, crowded, end)
	conn.Close()
	<-talked
}

// Who ends a connection and begins another at once is alone all the same.
func TestOneAfterTheOther(t *testing.T) { bothWays(t, testOneAfterTheOther) }

func testOneAfterTheOther(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	if _, err := client.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	next := dial(t, l)
	hear(t, conn, "bye")
	conn.Close()
	if !end() {
		t.Error("not alone until the end")
	}
	say(t, next, accept(t, l), "hello")
}

// A goroutine that does something else than wait does not keep others out.
func TestBusy(t *testing.T) { bothWays(t, testBusy) }

func testBusy(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	other := dial(t, l)
	<-crowded
	say(t, other, accept(t, l), "the second")
	say(t, client, conn, "to the first")
	say(t, conn, client, "from the first")
	wantCrowd(t, crowded, end)
}

// What others do to a connection while its goroutine waits has effect at once, and
// they are believed to be more than one from then on.
func TestInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		interrupt func(*Conn) error
		want      error
	}{
		"deadline":        {func(c *Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"later deadline":  {func(c *Conn) error { return c.SetDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		"close":           {(*Conn).Close, net.ErrClosed},
		"listener closed": {func(c *Conn) error { return errors.Join(c.l.Close(), c.SetReadDeadline(time.Unix(1, 0))) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, _ *Listener, conn *Conn, _ *net.TCPConn, _ func() bool, _ <-chan struct{}) {
				if err := conn.SetDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				read := reading(t, conn)
				if err := test.interrupt(conn); err != nil {
					t.Error(err)
				}
				if err := <-read; !errors.Is(err, test.want) {
					t.Errorf("the read ended with %v", err)
				}
				if err := conn.Close(); name != "close" && err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Deadlines end waiting as elsewhere, and leave the connection alone.
func TestAloneDeadline(t *testing.T) { bothWays(t, testAloneDeadline) }

func testAloneDeadline(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after its deadline: %v", err)
	}
	message := bytes.Repeat([]byte("m"), 64<<20) // nobody reads, and no buffer is as large
	if err := conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Write(message)
	if n == 0 || n == len(message) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes written, %v", n, err)
	}
	if _, err := conn.Write(message); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write after its deadline: %v", err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	all := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, client)
		all <- n
	}()
	more, err := conn.Write(message)
	if more != len(message) || err != nil {
		t.Errorf("%d bytes written, %v", more, err)
	}
	conn.Close()
	if got := <-all; got != int64(n+more) {
		t.Errorf("%d bytes came, %d were written", got, n+more)
	}
	end()
}

// A listener that waits by itself is woken by being closed.
func TestListenerClosed(t *testing.T) {
	l := listen(t)
	conn, _, end, _ := solitary(t, l)
	conn.Close()
	if !end() {
		t.Fatal("not alone until the end")
	}
	accepted := make(chan error, 1)
	go func() { _, err := l.Accept(); accepted <- err }()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("somebody listens")
	}
}

// A connection that many goroutines are to use is the runtime's.
func TestShare(t *testing.T) { bothWays(t, testShare) }

func testShare(t *testing.T, l *Listener, conn *Conn, client *net.TCPConn, end func() bool, crowded <-chan struct{}) {
	conn.Share()
	wantCrowd(t, crowded, end)
	read := make(chan error, 1)
	go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
	say(t, conn, client, "while it is read")
	say(t, client, client2{conn, read}, "x")
}

// After a crowd, connections must have come one by one for a while before they
// are alone again; then the listener is not the runtime's again, either.
func TestCrowdLeft(t *testing.T) {
	l := listen(t)
	conn, _, end, crowded := solitary(t, l)
	read := reading(t, conn)
	other := dial(t, l)
	<-crowded
	served := accept(t, l)
	end()
	for _, c := range []net.Conn{served, other, conn} {
		c.Close()
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for i := range lonelyEnough {
		client := dial(t, l)
		conn := accept(t, l)
		end := conn.Alone(func() {})
		if alone, want := end != nil, i == lonelyEnough-1; alone != want {
			t.Errorf("connection %d is alone: %v", i, alone)
		}
		say(t, client, conn, "hello")
		conn.Close()
		if end != nil && (!end() || l.tcp != nil) {
			t.Error("not alone until the end, or the listener is the runtime's")
		}
	}
}

// Clients come and go, in crowds and one by one, are served as a server does it,
// each hears what it said, and no descriptor is left over.
func TestComeAndGo(t *testing.T) {
	before := descriptors(t)
	l := listen(t)
	var serving sync.WaitGroup
	var alone, together int
	var mu sync.Mutex
	count := func(n *int) { mu.Lock(); *n++; mu.Unlock() }
	var lead func()
	lead = func() {
		for {
			accepted, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			conn := accepted.(*Conn)
			end := conn.Alone(func() { serving.Go(lead) })
			if end == nil {
				serving.Go(lead)
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.Copy(conn, struct{ io.Reader }{conn})
			conn.Close()
			if end == nil || !end() {
				count(&together)
				return
			}
			count(&alone)
		}
	}
	serving.Go(lead)
	client := func(messages int) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		got := make([]byte, 5)
		for range messages {
			if _, err := io.WriteString(conn, "hello"); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
	for range 20 {
		for range lonelyEnough + 2 {
			client(3)
		}
		var crowd sync.WaitGroup
		for range 8 {
			crowd.Go(func() { client(20) })
		}
		crowd.Wait()
	}
	l.Close()
	serving.Wait()
	if alone == 0 || together == 0 {
		t.Errorf("%d connections were served alone, %d not", alone, together)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Of several listeners' connections fewer are alone than the runtime has
// processors.
func TestPlaces(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	_, _, end, _ := solitary(t, listen(t))
	l := listen(t)
	dial(t, l)
	conn := accept(t, l)
	if conn.Alone(func() {}) != nil {
		t.Error("both of two processors are kept from other work")
	}
	end()
	if conn.Alone(func() {}) == nil {
		t.Error("not alone, and nobody else is")
	}
	if n := places.Load(); n != 1 {
		t.Errorf("%d connections are alone", n)
	}
	l.end()
}
