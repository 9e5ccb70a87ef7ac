package sign_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/token"
)

// Buffers pass from one connection to another, bytes do not. Many connections
// send messages of their own letter, of all sizes and kinds, while others break
// off in the middle of a frame: every answer is for the very message, and what
// the server prints is, message by message and token by token, what was sent.
func TestBuffersKeepConnectionsApart(t *testing.T) {
	const connections, messages = 26, 30
	s := newSite(t)
	var printed bytes.Buffer // the printer writes one event at a time
	svc, err := sign.New(sign.Config{Acceptor: s.acceptor, Output: &printed, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Service: svc})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()

	var (
		mu     sync.Mutex
		texts  = make(map[string]int) // what was sent, and how often
		tokens = make(map[string]int)
		work   sync.WaitGroup
	)
	for i := range connections {
		work.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			letter := string(rune('a' + i))
			sent, frames, err := s.converse(t, letter, messages, random)
			if err != nil {
				t.Errorf("connection %s: %v", letter, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, text := range sent {
				texts[text]++
			}
			for _, frame := range frames {
				tokens[frame]++
			}
		})
	}
	for i := range 8 {
		work.Go(func() {
			for range messages {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Error(err)
					return
				}
				broken := append(raw(token.NOOP|token.ContextNext, ""), raw(token.Context, strings.Repeat(string(rune('A'+i)), 30000))...)
				_, _ = conn.Write(broken[:20000]) // the server may have closed by then
				_ = conn.Close()
			}
		})
	}
	work.Wait()
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	gotTexts, gotTokens := readPrinted(t, printed.String())
	compare(t, "message", gotTexts, texts)
	compare(t, "token", gotTokens, tokens)
}

// converse sends messages of one letter on a connection of its own, and gives
// those and the frames' contents.
func (s *site) converse(t *testing.T, letter string, n int, random *rand.Rand) (sent, frames []string, err error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	tok, err := token.Config{Version: token.V2}.NewConn(conn)
	if err != nil {
		return nil, nil, err
	}
	if err := tok.WriteFrame(token.NOOP|token.ContextNext, nil); err != nil {
		return nil, nil, err
	}
	sec, err := gss.Initiate(t.Context(), tok, s.alice, gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		return nil, nil, err
	}
	for range n {
		msg := strings.Repeat(letter, 1+random.IntN(1<<random.IntN(16)))
		data, flags := []byte(msg), token.Data|token.SendMIC
		if random.IntN(3) > 0 {
			flags |= token.Wrapped | token.Encrypted
			if data, err = sec.Wrap(nil, data, true); err != nil {
				return sent, frames, err
			}
		}
		if random.IntN(4) == 0 {
			flags &^= token.SendMIC
		}
		if err := tok.WriteFrame(flags, data); err != nil {
			return sent, frames, err
		}
		sent, frames = append(sent, msg), append(frames, string(data))
		reply, err := tok.ReadFrame()
		if err != nil {
			return sent, frames, err
		}
		if flags&token.SendMIC == 0 {
			if reply.Flags != token.NOOP || len(reply.Data) > 0 {
				return sent, frames, fmt.Errorf("%v with %d bytes where nothing was asked for", reply.Flags, len(reply.Data))
			}
			continue
		}
		if err := sec.VerifyMIC([]byte(msg), reply.Data); err != nil {
			return sent, frames, fmt.Errorf("answer to %d bytes: %w", len(msg), err)
		}
	}
	return sent, frames, tok.WriteFrame(token.NOOP, nil)
}

// readPrinted finds the messages and the message tokens in verbose output.
func readPrinted(t *testing.T, out string) (texts, tokens map[string]int) {
	t.Helper()
	texts, tokens = make(map[string]int), make(map[string]int)
	lines := strings.Split(out, "\n")
	for i := 0; i < len(lines); i++ {
		if text, ok := strings.CutPrefix(lines[i], `Received message: "`); ok {
			texts[strings.TrimSuffix(text, `"`)]++
		}
		if !strings.HasPrefix(lines[i], "Message token (flags=") {
			continue
		}
		var data []byte
		for ; i+1 < len(lines); i++ {
			b, err := hex.DecodeString(strings.ReplaceAll(lines[i+1], " ", ""))
			if err != nil || len(b) == 0 {
				break
			}
			data = append(data, b...)
		}
		tokens[string(data)]++
	}
	return texts, tokens
}

func compare(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for text, n := range got {
		if want[text] != n {
			t.Errorf("%s of %d bytes printed %d times, sent %d times: %.40q...", what, len(text), n, want[text], text)
		}
	}
	for text, n := range want {
		if got[text] == 0 {
			t.Errorf("%s of %d bytes sent %d times and not printed: %.40q...", what, len(text), n, text)
		}
	}
}
