// Package kcmtest runs KCM daemons for tests: one of its own that speaks as sssd's or as Heimdal's does, and Heimdal's where
// that is installed. Both keep everything in memory and serve whoever can reach their socket.
package kcmtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Requests, with MIT's numbers.
const (
	opGenNew           = 3
	opInitialize       = 4
	opDestroy          = 5
	opStore            = 6
	opGetPrincipal     = 8
	opGetCredUUIDList  = 9
	opGetCredByUUID    = 10
	opRemoveCred       = 11
	opGetCacheUUIDList = 18
	opGetCacheByUUID   = 19
	opGetDefaultCache  = 20
	opSetDefaultCache  = 21
	opGetKDCOffset     = 22
	opSetKDCOffset     = 23
	opGetCredList      = 13001
)

// Statuses, of MIT's error table.
const (
	statusEnd          = -1765328242 // KRB5_CC_END
	statusNoFile       = -1765328189 // KRB5_FCC_NOFILE
	statusNotSupported = -1765328137 // KRB5_CC_NOSUPP
	statusFormat       = -1765328185 // KRB5_CC_FORMAT
)

// A Flavour says whose daemon to speak like.
type Flavour int

// The flavours. An sssd gives all credentials of a cache at once, and removes none; a Heimdal does neither.
const (
	Heimdal Flavour = iota
	SSSD
)

type cache struct {
	id, name  string
	principal []byte // nil until initialised
	offset    []byte
	ids       []string
	creds     [][]byte
}

type server struct {
	flavour Flavour

	mu      sync.Mutex
	serial  int
	primary string
	caches  []*cache
}

// Start runs a daemon until the test ends, and gives its socket's path.
func Start(t testing.TB, flavour Flavour) (socket string) {
	t.Helper()
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{flavour: flavour, primary: "1000"}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// socketPath is short, as a socket's must be.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kcm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func (s *server) serve(conn net.Conn) {
	for {
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(conn, request); err != nil || len(request) < 4 || request[0] != 2 {
			return
		}
		status, content := s.answer(binary.BigEndian.Uint16(request[2:]), request[4:])
		reply := binary.BigEndian.AppendUint32(nil, uint32(4+len(content)))
		reply = append(reply, 0, 0, 0, 0)
		reply = binary.BigEndian.AppendUint32(reply, uint32(status))
		if _, err := conn.Write(append(reply, content...)); err != nil {
			return
		}
	}
}

func (s *server) answer(op uint16, p []byte) (status int32, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op {
	case opGenNew:
		return 0, s.cname(s.find("1000:"+strconv.Itoa(s.next()), true).name)
	case opGetDefaultCache:
		return 0, s.cname(s.primary)
	case opGetCacheUUIDList:
		for _, c := range s.caches {
			content = append(content, c.id...)
		}
		return 0, content
	case opGetCacheByUUID:
		for _, c := range s.caches {
			if c.id == string(p) {
				return 0, s.cname(c.name)
			}
		}
		return statusEnd, nil
	}
	name, p, ended := bytes.Cut(p, []byte{0})
	if !ended {
		return statusFormat, nil
	}
	c := s.find(string(name), op == opInitialize)
	switch {
	case op == opSetDefaultCache:
		s.primary = string(name)
		return 0, nil
	case c == nil && op == opGetPrincipal && s.flavour == Heimdal:
		return 0, nil
	case c == nil:
		return statusNoFile, nil
	}
	return s.answerCache(c, op, p)
}

func (s *server) answerCache(c *cache, op uint16, p []byte) (status int32, content []byte) {
	switch op {
	case opInitialize:
		c.principal, c.offset, c.ids, c.creds = slices.Clone(p), nil, nil, nil
	case opDestroy:
		s.caches = slices.DeleteFunc(s.caches, func(d *cache) bool { return c == d })
	case opStore:
		c.ids, c.creds = append(c.ids, s.uuid()), append(c.creds, slices.Clone(p))
	case opGetPrincipal:
		return 0, c.principal
	case opGetCredUUIDList:
		for _, id := range c.ids {
			content = append(content, id...)
		}
		return 0, content
	case opGetCredByUUID:
		if i := slices.Index(c.ids, string(p)); i >= 0 {
			return 0, c.creds[i]
		}
		return statusEnd, nil
	case opGetCredList:
		if s.flavour != SSSD {
			return statusNotSupported, nil
		}
		content = binary.BigEndian.AppendUint32(nil, uint32(len(c.creds)))
		for _, cred := range c.creds {
			content = append(binary.BigEndian.AppendUint32(content, uint32(len(cred))), cred...)
		}
		return 0, content
	case opRemoveCred:
		if s.flavour == SSSD {
			return statusNotSupported, nil
		}
		return c.remove(p), nil
	case opGetKDCOffset:
		if c.offset == nil {
			return 0, make([]byte, 4)
		}
		return 0, c.offset
	case opSetKDCOffset:
		c.offset = slices.Clone(p)
	default:
		return statusNotSupported, nil
	}
	return 0, nil
}

// remove takes flags (ignored: times count always) and a tag: what it holds, client, server, times, a byte, ticket flags. A
// credential starts with client and server too; its key comes before the times.
func (c *cache) remove(p []byte) (status int32) {
	const times, rest = 16, 16 + 1 + 4
	if len(p) < 8+rest {
		return statusFormat
	}
	names, end := p[8:len(p)-rest], p[len(p)-rest:][:times]
	for i := len(c.creds) - 1; i >= 0; i-- {
		key, ok := bytes.CutPrefix(c.creds[i], names)
		if !ok {
			continue
		}
		length := binary.BigEndian.Uint32(key[2:])
		if bytes.HasPrefix(key[6+length:], end) {
			c.ids, c.creds = slices.Delete(c.ids, i, i+1), slices.Delete(c.creds, i, i+1)
		}
	}
	return 0
}

func (s *server) find(name string, create bool) *cache {
	for _, c := range s.caches {
		if c.name == name {
			return c
		}
	}
	if !create {
		return nil
	}
	c := &cache{id: s.uuid(), name: name}
	s.caches = append(s.caches, c)
	return c
}

func (s *server) cname(name string) []byte { return append([]byte(name), 0) }

func (s *server) next() int { s.serial++; return s.serial }

func (s *server) uuid() string {
	return string(binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(s.next())))
}
