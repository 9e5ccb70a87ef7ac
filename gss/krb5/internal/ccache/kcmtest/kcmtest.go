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

	"golang.org/x/crypto/cryptobyte"
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
	opReplace          = 13002
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

// The flavours. An sssd gives all credentials of a cache at once, and removes none; a Heimdal removes them, one at a time as it
// gives them. MIT's own test server can do all that and replace a cache's content at once.
const (
	Heimdal Flavour = iota
	SSSD
	MIT
)

// knows says whether a daemon of that flavour handles the request.
func (f Flavour) knows(op uint16) bool {
	switch op {
	case opGetCredList:
		return f != Heimdal
	case opRemoveCred:
		return f != SSSD
	case opReplace:
		return f == MIT
	}
	return op <= opSetKDCOffset
}

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
	if !s.flavour.knows(op) {
		return statusNotSupported, nil
	}
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
	c := s.find(string(name), op == opInitialize || op == opReplace)
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
		content = binary.BigEndian.AppendUint32(nil, uint32(len(c.creds)))
		for _, cred := range c.creds {
			content = append(binary.BigEndian.AppendUint32(content, uint32(len(cred))), cred...)
		}
		return 0, content
	case opRemoveCred:
		return c.remove(p), nil
	case opReplace:
		return s.replace(c, cryptobyte.String(p)), nil
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

// replace takes an offset, a principal, and a number of credentials, each after its length.
func (s *server) replace(c *cache, p cryptobyte.String) (status int32) {
	var offset, one []byte
	var n, length uint32
	if !p.ReadBytes(&offset, 4) {
		return statusFormat
	}
	// A principal is its type, a number, and so many components and the realm.
	rest := p
	if !rest.Skip(4) || !rest.ReadUint32(&n) {
		return statusFormat
	}
	for range n + 1 {
		if !rest.ReadUint32(&length) || !rest.Skip(int(length)) {
			return statusFormat
		}
	}
	principal := p[:len(p)-len(rest)]
	var creds [][]byte
	var ids []string
	if !rest.ReadUint32(&n) {
		return statusFormat
	}
	for range n {
		if !rest.ReadUint32(&length) || !rest.ReadBytes(&one, int(length)) {
			return statusFormat
		}
		creds, ids = append(creds, slices.Clone(one)), append(ids, s.uuid())
	}
	if !rest.Empty() {
		return statusFormat
	}
	c.principal, c.offset, c.ids, c.creds = slices.Clone(principal), offset, ids, creds
	return 0
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
