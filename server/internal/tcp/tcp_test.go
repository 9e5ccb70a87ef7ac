package tcp

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

func listen(t testing.TB) *Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := NewListener(l.(*net.TCPListener))
	t.Cleanup(func() { listener.Close() })
	return listener
}

func dial(t testing.TB, l *Listener) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*Conn)
}

// say writes on one connection and reads on the other.
func say(t testing.TB, from, to net.Conn, what string) {
	t.Helper()
	if _, err := io.WriteString(from, what); err != nil {
		t.Fatal(err)
	}
	hear(t, to, what)
}

func hear(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

// A connection that is the runtime's behaves in everything as net.Conn has it.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		l := listen(t)
		c1, err = net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		c2, err = l.Accept()
		return c1, c2, func() { c1.Close(); c2.Close() }, err
	})
}

// The timer is set only to earlier times, and when it went off too early.
func TestDeadlineArmed(t *testing.T) {
	var armed []time.Time
	d := deadline{arm: func(at time.Time) error { armed = append(armed, at); return nil }}
	start := time.Now()
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	for _, step := range []struct {
		set  time.Time
		arms bool
	}{
		{time.Time{}, false},
		{at(5), true},
		{at(1), true},
		{at(1), false},
		{at(5), false},
		{at(2), false},
		{time.Time{}, false},
		{at(3), false},
		{at(-1), true},
		{at(4), false},
	} {
		before := len(armed)
		if err := d.set(step.set); err != nil {
			t.Fatal(err)
		}
		if arms := len(armed) > before; arms != step.arms || arms && !armed[before].Equal(step.set) {
			t.Errorf("set to %v: timer moved: %v, want %v", step.set.Sub(start), arms, step.arms)
		}
	}
	if d.passed() {
		t.Error("passed before its time")
	}
	if err := d.rearm(); err != nil || !armed[len(armed)-1].Equal(at(4)) {
		t.Errorf("set anew to %v, %v", armed[len(armed)-1], err)
	}
}

// A deadline that was moved away does not end a read or a write, whatever the
// timer was set to, and one that was moved back does.
func TestDeadlineMovedAway(t *testing.T) {
	l := listen(t)
	client := dial(t, l)
	conn := accept(t, l)
	soon := time.Now().Add(time.Millisecond)
	for _, until := range []time.Time{soon, time.Now().Add(time.Hour)} {
		if err := conn.SetDeadline(until); err != nil {
			t.Fatal(err)
		}
	}
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	for !time.Now().After(soon.Add(5 * time.Millisecond)) { // the timer has gone off meanwhile
		time.Sleep(time.Millisecond)
	}
	say(t, conn, client, "written late")
	if _, err := client.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Errorf("read: %v", err)
	}

	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after its deadline: %v", err)
	}
	say(t, conn, client, "still written")
}
