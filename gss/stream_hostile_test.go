package gss_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A hostilePeer has a context with the stream that it lies to.
type hostilePeer struct {
	sec    gss.Context
	stream *gss.Stream // the client that reads what the peer sends
	wire   *script
}

// script is a connection that says what it is given and then ends. What is
// written to it goes to the peer's context while the handshake lasts, and is
// kept afterwards.
type script struct {
	net.Conn // addresses and deadlines are not asked for
	said     bytes.Buffer
	heard    bytes.Buffer
	answer   func(tok []byte) []byte
}

func (s *script) Read(p []byte) (int, error) { return s.said.Read(p) }
func (s *script) Close() error               { return nil }

func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }

func (s *script) Write(p []byte) (int, error) {
	if s.answer != nil {
		s.said.Write(frame(token.Context, s.answer(p[5:])))
	} else {
		s.heard.Write(p)
	}
	return len(p), nil
}

// frame puts a version 2 frame together, independently of package token.
func frame(flags token.Flags, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{byte(flags)}, uint32(len(data))), data...)
}

func newHostilePeer(t testing.TB) *hostilePeer {
	sec, err := (&fakeMech{}).Accept(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &hostilePeer{sec: sec, wire: &script{}}
	p.wire.answer = func(tok []byte) []byte {
		out, err := sec.Step(tok)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	p.stream = gss.Client(p.wire, gss.ClientConfig{Mechanism: &fakeMech{}, Target: fakeTarget})
	if err := p.stream.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.wire.answer = nil
	return p
}

func (p *hostilePeer) wrap(msg string, seal bool) []byte {
	tok, err := p.sec.Wrap(nil, []byte(msg), seal)
	if err != nil {
		panic(err)
	}
	return tok
}

const (
	sealedFlags = token.Data | token.Wrapped | token.Encrypted
	dataKind    = "\x11"
	endKind     = "\x12"
)

func (p *hostilePeer) data(content string) []byte {
	return frame(sealedFlags, p.wrap(content+dataKind, true))
}

func (p *hostilePeer) end() []byte { return frame(sealedFlags, p.wrap(endKind, true)) }

// Whatever an attacker in the middle, or a peer, does after the handshake: the
// reader gets the good messages before it and then an error that stays.
func TestStreamHostilePeer(t *testing.T) {
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 1
		return b
	}
	for _, tt := range []struct {
		name string
		say  func(p *hostilePeer) [][]byte
		want string // what is read
		err  error  // by errors.Is
		text string // or in its text
	}{
		{name: "honest", want: "onetwo", err: io.EOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.data("two"), p.end()}
		}},
		{name: "after the end", want: "one", err: io.EOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.end(), p.data("two")}
		}},
		{name: "cut between frames", want: "one", err: io.ErrUnexpectedEOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one")}
		}},
		{name: "cut in a frame", want: "one", err: io.ErrUnexpectedEOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.data("two")[:9]}
		}},
		{name: "cut in a header", want: "one", err: io.ErrUnexpectedEOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.data("two")[:3]}
		}},
		{name: "reordered", err: gss.ErrGapToken, say: func(p *hostilePeer) [][]byte {
			one, two := p.data("one"), p.data("two")
			return [][]byte{two, one, p.end()}
		}},
		{name: "replayed", want: "one", err: gss.ErrDuplicateToken, say: func(p *hostilePeer) [][]byte {
			one := p.data("one")
			return [][]byte{one, one, p.end()}
		}},
		{name: "first dropped", err: gss.ErrGapToken, say: func(p *hostilePeer) [][]byte {
			p.data("one")
			return [][]byte{p.data("two"), p.end()}
		}},
		{name: "dropped", want: "one", err: gss.ErrGapToken, say: func(p *hostilePeer) [][]byte {
			one, _, three := p.data("one"), p.data("two"), p.data("three")
			return [][]byte{one, three, p.end()}
		}},
		{name: "dropped before the end", want: "one", err: gss.ErrGapToken, say: func(p *hostilePeer) [][]byte {
			one, _ := p.data("one"), p.data("two")
			return [][]byte{one, p.end()}
		}},
		{name: "reflected", want: "one", err: gss.ErrBadMIC, say: func(p *hostilePeer) [][]byte {
			if _, err := p.stream.Write([]byte("mine")); err != nil {
				t.Error(err)
			}
			return [][]byte{p.data("one"), p.wire.heard.Bytes(), p.end()}
		}},
		{name: "altered", want: "one", err: gss.ErrBadMIC, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), flip(p.data("two"), 5+fakeHeader), p.end()}
		}},
		{name: "of another context", want: "one", err: gss.ErrBadMIC, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), newHostilePeer(t).data("two"), p.end()}
		}},
		{name: "oversized frame", want: "one", text: "longer than the limit", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, nil)[:1], {0xff, 0xff, 0xff, 0xff}}
		}},
		{name: "oversized record", want: "one", text: "longer than the limit", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.data(strings.Repeat("x", 64<<10))}
		}},
		{name: "largest record", want: strings.Repeat("x", 65_000), err: io.EOF, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data(strings.Repeat("x", 65_000)), p.end()}
		}},
		{name: "empty frame", want: "one", err: gss.ErrDefectiveToken, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, nil)}
		}},
		{name: "empty message", want: "one", text: "empty message", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, p.wrap("", true))}
		}},
		{name: "empty data", want: "one", text: "message of kind 0x11 with 0 octets", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), p.data(""), p.end()}
		}},
		{name: "end with content", want: "one", text: "message of kind 0x12 with 3 octets", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, p.wrap("two"+endKind, true))}
		}},
		{name: "unknown kind", want: "one", text: "message of kind 0x13", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, p.wrap("two\x13", true))}
		}},
		{name: "another version", want: "", text: "of version 2, this is version 1", say: func(p *hostilePeer) [][]byte {
			return [][]byte{frame(sealedFlags, p.wrap("one\x21", true))}
		}},
		{name: "another protocol's message", text: "version", say: func(p *hostilePeer) [][]byte {
			return [][]byte{frame(sealedFlags, p.wrap("hello", true))}
		}},
		{name: "not sealed", want: "one", text: "not encrypted", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags, p.wrap("two"+dataKind, false))}
		}},
		{name: "not sealed and said so", want: "one", text: "got one with DATA|WRAPPED", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(token.Data|token.Wrapped, p.wrap("two"+dataKind, false))}
		}},
		{name: "plain", want: "one", text: "got one with DATA", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(token.Data, []byte("two"+dataKind))}
		}},
		{name: "with a wish for a MIC", want: "one", text: "SEND_MIC", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(sealedFlags|token.SendMIC, p.wrap("two"+dataKind, true))}
		}},
		{name: "NOOP", want: "one", text: "got one with NOOP", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(token.NOOP, nil), p.end()}
		}},
		{name: "context token", want: "one", text: "got one with CONTEXT", say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(token.Context, []byte("again")), p.end()}
		}},
		{name: "no flags", want: "one", err: token.ErrNoFlags, say: func(p *hostilePeer) [][]byte {
			return [][]byte{p.data("one"), frame(0, []byte("two"))}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newHostilePeer(t)
			p.wire.said.Write(slices.Concat(tt.say(p)...))
			var got []byte
			var err error
			for err == nil {
				var n int
				buf := make([]byte, 4096)
				n, err = p.stream.Read(buf)
				got = append(got, buf[:n]...)
				if n == 0 && bytes.Contains(buf, []byte("two")) {
					t.Error("what was refused is in the reader's buffer")
				}
			}
			if string(got) != tt.want {
				t.Errorf("read %.40q, want %.40q", got, tt.want)
			}
			if tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("read ended with %v, want %v%s", err, tt.err, tt.text)
			}
			p.wire.said.Write(p.data("more"))
			if n, again := p.stream.Read(make([]byte, 4096)); n != 0 || again != err {
				t.Errorf("the next read: %d, %v", n, again)
			}
		})
	}
}

// Every strict prefix of a good stream is a cut connection: never a clean end,
// and nothing but what was sent.
func TestStreamPrefixes(t *testing.T) {
	p := newHostilePeer(t)
	whole := len(slices.Concat(p.data("one"), p.data("two"), p.end()))
	for n := range whole {
		p := newHostilePeer(t)
		p.wire.said.Write(slices.Concat(p.data("one"), p.data("two"), p.end())[:n])
		got, err := io.ReadAll(p.stream)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix("onetwo", string(got)) {
			t.Errorf("after %d of %d octets: %q, %v", n, whole, got, err)
		}
	}
}

// FuzzStreamServer gives a server what somebody sends who has no context.
func FuzzStreamServer(f *testing.F) {
	sec, err := (&fakeMech{}).Initiate(f.Context(), gss.Request{})
	if err != nil {
		f.Fatal(err)
	}
	tok, err := sec.Step(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame(token.Context, tok))
	f.Add(slices.Concat(frame(token.Context, tok), frame(sealedFlags, []byte("not sealed"))))
	f.Add(frame(token.NOOP|token.ContextNext, nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 4, 'a', 'b', 'c', 'd'})
	f.Fuzz(func(t *testing.T, said []byte) {
		wire := &script{}
		wire.said.Write(said)
		s := gss.Server(wire, gss.ServerConfig{Mechanism: &fakeMech{}})
		got, err := io.ReadAll(s)
		if err == nil || len(got) > 0 {
			t.Fatalf("read %q, %v from a peer without a context", got, err)
		}
		if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("the next read: %d, %v", n, err)
		}
	})
}

// FuzzStreamReader gives a stream what a peer may send that has a context: each
// two octets of the script are a deed and a length. A reader that knows the
// format says what has to come of it.
func FuzzStreamReader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 200, 1, 0}, []byte("content"))
	f.Add([]byte{0, 3, 2, 1}, []byte("gap"))
	f.Add([]byte{0, 3, 3, 0, 0, 1}, []byte("replay"))
	f.Add([]byte{0, 3, 4, 9}, []byte("unsealed"))
	f.Add([]byte{0, 3, 5, 9}, []byte("raw\x62\x00\x00\x00\x01a"))
	f.Add([]byte{0, 3, 6, 0}, []byte("\x11\x11\x12"))
	f.Add([]byte{0, 255, 7, 0x64}, []byte("flags"))
	f.Fuzz(func(t *testing.T, deeds, content []byte) {
		p := newHostilePeer(t)
		var want []byte
		good, ended := true, false
		var last []byte
		for ; len(deeds) >= 2; deeds = deeds[2:] {
			n := min(int(deeds[1])*257, len(content))
			part := string(content[:n])
			live := good && !ended
			switch deeds[0] % 8 {
			case 0:
				last = p.data(part)
				p.wire.said.Write(last)
				if good = good && n > 0; live && good {
					want = append(want, part...)
				}
			case 1:
				p.wire.said.Write(p.end())
				ended = ended || live
			case 2:
				p.data(part) // lost
				last = p.data("x")
				p.wire.said.Write(last)
				good = false
			case 3:
				p.wire.said.Write(last)
				good = good && last == nil
			case 4:
				p.wire.said.Write(frame(sealedFlags, p.wrap(part+dataKind, false)))
				good = false
			case 5:
				p.wire.said.Write(content[:n]) // most likely not a frame
				good = good && n == 0
			case 6:
				p.wire.said.Write(frame(sealedFlags, p.wrap(part, true)))
				switch {
				case len(part) > 1 && strings.HasSuffix(part, dataKind):
					if live {
						want = append(want, part[:len(part)-1]...)
					}
				case part == endKind:
					ended = ended || live
				default:
					good = false
				}
			case 7:
				p.wire.said.Write(frame(token.Flags(deeds[1]), p.wrap("x"+dataKind, true)))
				if good = good && token.Flags(deeds[1]) == sealedFlags; live && good {
					want = append(want, 'x')
				}
			}
		}
		got, err := io.ReadAll(p.stream)
		if !bytes.Equal(got, want) {
			t.Fatalf("read %q, want %q (%v)", got, want, err)
		}
		if ended != (err == nil) {
			t.Fatalf("read ended with %v, ended by the peer: %t", err, ended)
		}
	})
}
