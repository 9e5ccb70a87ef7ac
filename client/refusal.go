package client

import (
	"bytes"
	"crypto/tls"
	"regexp"
	"time"
)

// A tlsConn remembers the beginning of what the server sends. One that refuses
// a client for its certificate says so in a line of text, which no protocol that
// is spoken here could begin with.
type tlsConn struct {
	*tls.Conn
	start []byte
}

// refusalLine is what such a server says: a word and a sentence.
var refusalLine = regexp.MustCompile(`^(NoClientCertExists|ClientCertInvalid|CRL): [ -~]{1,200}\n`)

const maxRefusal = 256

func (c *tlsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if room := maxRefusal - len(c.start); n > 0 && room > 0 {
		c.start = append(c.start, b[:min(n, room)]...)
	}
	return n, err
}

// A RefusedError says that the server refused the client's certificate, or
// wants one, in the server's words.
type RefusedError struct{ Line string }

func (e *RefusedError) Error() string { return "the server says: " + e.Line }

// refused gives the server's refusal if that is what it sent, else the error.
// What is missing of its line is waited for, up to refusalTime.
func (c *tlsConn) refused(err error) error {
	if mayBeRefusal(c.start) && c.SetReadDeadline(time.Now().Add(refusalTime)) == nil {
		for mayBeRefusal(c.start) {
			if n, rerr := c.Read(make([]byte, maxRefusal-len(c.start))); n == 0 && rerr != nil {
				break
			}
		}
	}
	if line := refusalLine.Find(c.start); line != nil {
		return &RefusedError{string(line[:len(line)-1])}
	}
	return err
}

const refusalTime = time.Second

// mayBeRefusal reports whether more could make a refusal of it.
func mayBeRefusal(start []byte) bool {
	if len(start) == 0 || len(start) == maxRefusal || bytes.IndexByte(start, '\n') >= 0 {
		return false
	}
	for _, word := range []string{"NoClientCertExists: ", "ClientCertInvalid: ", "CRL: "} {
		n := min(len(word), len(start))
		if word[:n] == string(start[:n]) {
			return true
		}
	}
	return false
}
