package natsbus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/countersign-go/countersign/server/push"
)

const (
	// DefaultPrefix begins every subject.
	DefaultPrefix = "countersign.push"

	// maxPrefix is the longest prefix, in octets. A NATS server takes 4,096 of them
	// for a line of its protocol, in which a subject of ours and one to
	// reply to are to find room.
	maxPrefix = 256

	// version is the token after the prefix. It is that of this package's messages and
	// subjects: servers of different versions do not hear each other.
	version = "v1"
)

// subjects are those of one prefix, version included.
type subjects struct {
	base     string // ends with a dot
	all      string
	several  string
	instance instance
}

func newSubjects(prefix string, own instance) subjects {
	base := prefix + "." + version + "."
	return subjects{base: base, all: base + "all", several: base + "groups", instance: own}
}

func (s subjects) group(number uint32) string {
	return s.base + "group." + strconv.FormatUint(uint64(number), 10)
}

// user gives the subject of a user. Of a name nothing but its SHA-256 gets into it:
// 64 characters, whatever the name is.
func (s subjects) user(u push.User) string {
	kind := "user."
	if u.Local {
		kind = "local."
	}
	sum := sha256.Sum256([]byte(u.Name))
	return s.base + kind + hex.EncodeToString(sum[:])
}

// reply gives the subject to which the answers of a request of ours go.
func (s subjects) reply(request uint64) string {
	return s.base + "reply." + s.instance.String() + "." + strconv.FormatUint(request, 10)
}

// replies is what has to be subscribed to for all of them.
func (s subjects) replies() string { return s.base + "reply." + s.instance.String() + ".*" }

// request gives the number of the request that a subject of ours has.
func (s subjects) request(subject string) (uint64, bool) {
	number, ok := strings.CutPrefix(subject, s.base+"reply."+s.instance.String()+".")
	return parseNumber(number, ok)
}

// isReply tells whether a subject is one that some server of this prefix takes
// answers at: what comes with a message is published to, and is to be nothing else.
func (s subjects) isReply(subject string) bool {
	rest, ok := strings.CutPrefix(subject, s.base+"reply.")
	if !ok {
		return false
	}
	id, number, ok := strings.Cut(rest, ".")
	if _, err := hex.DecodeString(id); err != nil || len(id) != 2*len(instance{}) || strings.ToLower(id) != id {
		return false
	}
	_, ok = parseNumber(number, ok)
	return ok
}

// parseNumber reads a number as FormatUint writes it.
func parseNumber(text string, ok bool) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && err == nil && strconv.FormatUint(n, 10) == text
}

// checkPrefix says what is wrong with a prefix: it is tokens of letters, digits,
// "-" and "_" with dots between them.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return fmt.Errorf("longer than %d octets", maxPrefix)
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" {
			return errors.New("empty between dots")
		}
		if i := strings.IndexFunc(token, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
		}); i >= 0 {
			return fmt.Errorf("%q in it", token[i:i+1])
		}
	}
	return nil
}

// isGroup tells whether a subject is that of a group.
func (s subjects) isGroup(subject string) bool {
	number, ok := strings.CutPrefix(subject, s.base+"group.")
	n, ok := parseNumber(number, ok)
	return ok && n <= math.MaxUint32
}

// maxFieldText is the longest text in a log record that comes from NATS, in octets.
const maxFieldText = 1024

func clip(text string) string { return text[:min(len(text), maxFieldText)] }
