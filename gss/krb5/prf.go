package krb5

import (
	"encoding/binary"
	"fmt"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
)

// maxPRFOutput bounds what one call derives; protocols take some hundred octets.
const maxPRFOutput = 1 << 20

// pseudoRandom is RFC 4402 with RFC 7802's correction: the enctype's PRF over
// a counter from zero and the input, as often as it takes.
func (p *protection) pseudoRandom(which gss.PRFKey, input []byte, n int) ([]byte, error) {
	if n < 0 || n > maxPRFOutput {
		return nil, failure(fmt.Errorf("%d octets of pseudo-random output are not between 0 and %d", n, maxPRFOutput))
	}
	profile, key := p.profile, p.base
	switch which {
	case gss.PRFKeyFull:
	case gss.PRFKeyPartial:
		var err error
		if profile, err = etype.Lookup(etype.ID(p.partial.Type)); err != nil {
			return nil, failure(err)
		}
		key = p.partial.Value
	default:
		return nil, failure(fmt.Errorf("no such PRF key: %d", which))
	}
	counted := append(make([]byte, 4, 4+len(input)), input...)
	var out []byte
	for counter := uint32(0); len(out) < n; counter++ {
		binary.BigEndian.PutUint32(counted, counter)
		block, err := profile.PRF(key, counted)
		if err != nil {
			return nil, failure(err)
		}
		out = append(out, block...)
	}
	clear(out[n:])
	return out[:n:n], nil
}

// wrapSizeLimit is the reverse of the sizes that wrap adds.
func (p *protection) wrapSizeLimit(size int, seal bool) int {
	overhead := headerSize + p.profile.MACSize()
	if seal {
		overhead = headerSize + headerSize + p.profile.Overhead()
	}
	return max(0, size-overhead)
}
