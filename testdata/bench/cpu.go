package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// settled is for how long servers run before they are measured.
const settled = 2 * time.Second

// A task is what a server's CPU time is measured for.
type task struct {
	op   string
	size int
	runs int // in all
	run  func() error
}

// cpu measures nothing else of the servers.
func (b *bench) cpu() error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	rounds := b.rounds(5)
	for round := range rounds {
		progress("CPU of servers, round %d of %d", round+1, rounds)
		if err := b.serverCPU(s); err != nil {
			return err
		}
	}
	return nil
}

// serverCPU is what a message and a whole connection cost the servers, one after
// the other by one client. A connection is the handshake, one message and the
// end. The servers take turns, some runs each, so that what else the machine
// does is shared by all.
func (b *bench) serverCPU(s *site) error {
	messages, connections, turns := 10000, 1500, 10
	if b.quick {
		messages, connections, turns = 500, 100, 2
	}
	dir, err := os.MkdirTemp(b.dir, "printed")
	if err != nil {
		return err
	}
	type measured struct {
		side string
		srv  *server
		task
	}
	var all []measured
	for _, side := range s.sides() {
		for _, op := range []string{"cpu-connection", "cpu-message"} { // MIT's serves one connection at a time
			srv, err := s.startPrinting(side, dir)
			if err != nil {
				return err
			}
			defer srv.stop()
			if op == "cpu-connection" {
				all = append(all, measured{side, srv, task{op, 1024, connections, srv.connection}})
				continue
			}
			session, err := srv.dial()
			if err != nil {
				return err
			}
			defer session.Close()
			msg := text(1024)
			all = append(all, measured{side, srv, task{op, len(msg), messages, func() error {
				_, err := session.Sign(msg)
				return err
			}}})
		}
	}
	floor, err := s.startFloor()
	if err != nil {
		return err
	}
	defer floor.srv.stop()
	session, err := floor.dial()
	if err != nil {
		return err
	}
	defer session.Close()
	all = append(all,
		measured{"go", floor.srv, task{"cpu-connection", 1024, connections, floor.connection}},
		measured{"go", floor.srv, task{"cpu-message", 1024, messages, func() error { return floor.message(session) }}})

	time.Sleep(settled)
	sum := make([]time.Duration, len(all))
	for turn := range turns + 1 { // the first grows heaps and buffers
		for i, m := range all {
			before, err := m.srv.cpu()
			if err != nil {
				return err
			}
			for range m.runs / turns {
				if err := m.run(); err != nil {
					return fmt.Errorf("%s, %s: %w", m.side, m.op, err)
				}
			}
			after, err := m.srv.cpu()
			if err != nil {
				return err
			}
			if turn > 0 {
				sum[i] += after - before
			}
		}
	}
	for i, m := range all {
		b.figures.add(key{m.side, m.op, 18, m.size}, float64(sum[i])/float64(m.runs/turns*turns))
	}
	return nil
}

func (s *server) connection() error {
	session, err := s.dial()
	if err != nil {
		return err
	}
	if _, err := session.Sign(text(1024)); err != nil {
		return err
	}
	return session.Close()
}

// A floor is a bare Go server with its client: the same frames as on a
// connection to gss-server, of zeros.
type floor struct {
	srv      *server
	says     [3][]byte
	answered [2]int
}

// Lengths in bytes with enctype 18.
const (
	header   = 5                 // of a frame
	overhead = 16 + 16 + 16 + 12 // of a sealed message: header, confounder, header again, MAC
	reply    = 156               // an AP-REP
	mic      = 16 + 12           // a MIC token
)

func (s *site) startFloor() (*floor, error) {
	sec, err := s.alice.Initiate(context.Background(), gss.Request{Target: gss.HostService(serviceName)})
	if err != nil {
		return nil, err
	}
	defer sec.Delete()
	request, err := sec.Step(nil)
	if err != nil {
		return nil, err
	}
	frame := func(n int) []byte {
		b := make([]byte, header+n)
		b[0] = byte(token.NOOP)
		binary.BigEndian.PutUint32(b[1:], uint32(n))
		return b
	}
	f := &floor{
		says:     [3][]byte{frame(len(request)), frame(1024 + overhead), frame(0)},
		answered: [2]int{header + reply, header + mic},
	}
	f.srv, err = s.startEcho(f.answered[:]...)
	return f, err
}

func (f *floor) connection() error {
	conn, err := f.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := f.message(conn); err != nil {
		return err
	}
	_, err = conn.Write(f.says[2])
	return err
}

// dial connects and does what stands for the handshake.
func (f *floor) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp", f.srv.addr)
	if err != nil {
		return nil, err
	}
	if err := f.exchange(conn, 0); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (f *floor) message(conn net.Conn) error { return f.exchange(conn, 1) }

func (f *floor) exchange(conn net.Conn, i int) error {
	if _, err := conn.Write(f.says[i]); err != nil {
		return err
	}
	var buf [4096]byte
	_, err := io.ReadFull(conn, buf[:f.answered[i]])
	return err
}
