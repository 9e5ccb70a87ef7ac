package pac

import "encoding/binary"

const (
	// maxSubAuthorities is the most that a SID has (MS-DTYP, section 2.4.2).
	maxSubAuthorities = 15

	ndrHeader = 20 // common header, private header and the first referent
)

// A shape walks over NDR (C706, chapter 14) and checks that every count in it
// fits what is there. Nothing is decoded.
type shape struct {
	b   []byte
	pos int
	bad bool
}

func (s *shape) skip(n int) {
	if s.bad = s.bad || n > len(s.b)-s.pos; !s.bad {
		s.pos += n
	}
}

func (s *shape) uint32() uint32 {
	s.skip(-s.pos & 3) // alignment
	s.skip(4)
	if s.bad {
		return 0
	}
	return binary.LittleEndian.Uint32(s.b[s.pos-4:])
}

// pointer reads whether there is a referent.
func (s *shape) pointer() bool { return s.uint32() != 0 }

// text skips an RPC_UNICODE_STRING and reads whether there is a referent.
func (s *shape) text() bool {
	s.uint32() // two lengths
	return s.pointer()
}

// textReferent is a conformant and varying array of two octets each.
func (s *shape) textReferent() {
	size, offset, count := s.uint32(), s.uint32(), s.uint32()
	if s.bad = s.bad || offset != 0 || count > size || size > 1<<15 || uint64(count) > uint64(len(s.b)/2); !s.bad {
		s.skip(int(count) * 2)
	}
}

// array reads the count of a conformant array whose elements have size octets,
// skips them and gives the count.
func (s *shape) array(want uint32, size int) int {
	n := s.uint32()
	if s.bad = s.bad || n != want || uint64(n) > uint64(len(s.b)/size); s.bad {
		return 0
	}
	if s.skip(int(n) * size); s.bad {
		return 0
	}
	return int(n)
}

func (s *shape) sid() {
	n := s.uint32()
	if s.bad = s.bad || n > maxSubAuthorities; s.bad {
		return
	}
	start := s.pos
	if s.skip(8 + int(n)*4); !s.bad {
		s.bad = s.b[start] != 1 || uint32(s.b[start+1]) != n
	}
}

// checkLogonInfo checks the shape of a KERB_VALIDATION_INFO (MS-PAC, section
// 2.5): the structure, then what its pointers stand for, in their order.
func checkLogonInfo(b []byte) bool {
	// Version 1, little endian, ASCII; the header's own length.
	if len(b) < ndrHeader || b[0] != 1 || b[1] != 0x10 || binary.LittleEndian.Uint16(b[2:]) != 8 ||
		binary.LittleEndian.Uint32(b[16:]) == 0 {
		return false
	}
	s := &shape{b: b, pos: ndrHeader}
	s.skip(6 * 8) // times
	var texts [6]bool
	for i := range texts {
		texts[i] = s.text()
	}
	s.skip(2*2 + 2*4) // counts of log-ons, user and primary group
	groupCount, groups := s.uint32(), s.pointer()
	s.skip(4 + 16) // flags, session key
	server, domain, domainSID := s.text(), s.text(), s.pointer()
	s.skip(2*4 + 4 + 4 + 2*8 + 4 + 4)
	sidCount, sids := s.uint32(), s.pointer()
	resourceSID := s.pointer()
	resourceCount, resources := s.uint32(), s.pointer()

	for _, present := range texts {
		if present {
			s.textReferent()
		}
	}
	if groups {
		s.array(groupCount, 8)
	}
	if server {
		s.textReferent()
	}
	if domain {
		s.textReferent()
	}
	if domainSID {
		s.sid()
	}
	if sids {
		s.extraSIDs(sidCount)
	}
	if resourceSID {
		s.sid()
	}
	if resources {
		s.array(resourceCount, 8)
	}
	// What is left pads the structure to eight octets.
	return !s.bad && len(b)-s.pos < alignment
}

// extraSIDs is an array of pointers to SIDs with attributes, then the SIDs.
func (s *shape) extraSIDs(count uint32) {
	start := s.pos + 4
	n := s.array(count, 8)
	for i := range n {
		if binary.LittleEndian.Uint32(s.b[start+8*i:]) != 0 {
			s.sid()
		}
	}
}
