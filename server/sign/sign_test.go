package sign_test

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/token"
)

func TestConfig(t *testing.T) {
	if _, err := sign.New(sign.Config{}); err == nil || !strings.Contains(err.Error(), "no acceptor") {
		t.Errorf("without acceptor: %v", err)
	}
	if _, err := sign.New(sign.Config{Acceptor: new(fake), MaxMessage: -1}); err == nil || !strings.Contains(err.Error(), "-1 bytes") {
		t.Errorf("negative length: %v", err)
	}
}

// raw makes bytes of a version 2 frame.
func raw(flags token.Flags, data string) []byte {
	n := len(data)
	return append([]byte{byte(flags), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, data...)
}

// raw1 makes bytes of a version 1 frame.
func raw1(data string) []byte { return raw(1, data)[1:] }

var (
	greeting = raw(token.NOOP|token.ContextNext, "")
	begin    = slices.Concat(greeting, raw(token.Context, "init"))
	end      = raw(token.NOOP, "")
	standing = raw(token.Context, "accept")
)

// talk sends bytes to a session, closes its sending side, and gives what came
// back, what was printed, and how the session ended.
func talk(t testing.TB, cfg sign.Config, sent []byte) (received []byte, printed string, err error) {
	t.Helper()
	var out bytes.Buffer
	cfg.Output = &out
	svc, err := sign.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Service: svc})
	if err != nil {
		t.Fatal(err)
	}
	peer := &stream{in: bytes.NewReader(sent)}
	err = srv.ServeConn(t.Context(), peer)
	return peer.out.Bytes(), out.String(), err
}

// A stream is a connection whose peer has said everything in advance.
type stream struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *stream) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *stream) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *stream) Close() error                     { return nil }
func (c *stream) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *stream) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *stream) SetDeadline(time.Time) error      { return nil }
func (c *stream) SetReadDeadline(time.Time) error  { return nil }
func (c *stream) SetWriteDeadline(time.Time) error { return nil }

const (
	plainData = token.Data
	allFlags  = token.Data | token.Wrapped | token.Encrypted | token.SendMIC
	accepted  = "Accepted connection: \"alice@R\"\n"
)

func mic(msg string) string { return string(fakeMIC([]byte(msg))) }

func TestSessions(t *testing.T) {
	open := &fake{}
	sequenced := &fake{flags: gss.Sequencing | gss.ReplayDetection}
	tests := []struct {
		name    string
		cfg     sign.Config
		sent    [][]byte
		back    [][]byte
		printed string
		err     string // part of it; none: the session ends well
	}{
		{
			name:    "the default message",
			cfg:     sign.Config{Acceptor: &fake{flags: gss.DefaultFlags | gss.ProtReady | gss.Transferable}},
			sent:    [][]byte{begin, raw(allFlags, "Shello"), end},
			back:    [][]byte{standing, raw(token.MIC, mic("hello"))},
			printed: "context flag: GSS_C_MUTUAL_FLAG\ncontext flag: GSS_C_REPLAY_FLAG\ncontext flag: GSS_C_SEQUENCE_FLAG\ncontext flag: GSS_C_CONF_FLAG \ncontext flag: GSS_C_INTEG_FLAG \n" + accepted + "Received message: \"hello\"\nNOOP token\n",
		},
		{
			name:    "every way to send a message",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(0xc4, "nw"), raw(0xa4, "Pnx"), raw(0x64, "Snm"), raw(0x44, "nw nm"), raw(0x24, "Pnx nm"), raw(0x84, "na mic"), raw(0x04, "na"), end},
			back:    [][]byte{standing, raw(token.MIC, mic("nw")), raw(token.MIC, mic("nx")), end, end, end, raw(token.MIC, mic("na mic")), end},
			printed: accepted + "Received message: \"nw\"\nReceived message: \"nx\"\nReceived message: \"nm\"\nReceived message: \"nw nm\"\nReceived message: \"nx nm\"\nReceived message: \"na mic\"\nReceived message: \"na\"\nNOOP token\n",
		},
		{
			name:    "several legs, no last reply, no message",
			cfg:     sign.Config{Acceptor: &fake{quiet: true}},
			sent:    [][]byte{greeting, raw(token.Context, "more"), raw(token.Context, "more"), raw(token.Context, "init"), end},
			back:    [][]byte{raw(token.Context, "go on"), raw(token.Context, "go on")},
			printed: accepted + "NOOP token\n",
		},
		{
			name:    "said to be encrypted, but is not",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(allFlags, "Phello"), end},
			back:    [][]byte{standing, raw(token.MIC, mic("hello"))},
			printed: accepted + "Warning!  Message not encrypted.\nReceived message: \"hello\"\nNOOP token\n",
		},
		{
			name:    "empty messages",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(allFlags, "S"), raw(0x84, ""), end},
			back:    [][]byte{standing, raw(token.MIC, mic("")), raw(token.MIC, mic(""))},
			printed: accepted + "Received message: \n\nReceived message: \n\nNOOP token\n",
		},
		{
			name:    "version 1",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{raw1("more"), raw1("init"), raw1("Sone"), raw1("Ptwo")},
			back:    [][]byte{raw1("go on"), raw1("accept"), raw1(mic("one")), raw1(mic("two"))},
			printed: accepted + "Received message: \"one\"\nWarning!  Message not encrypted.\nReceived message: \"two\"\n",
		},
		{
			name:    "version 1 without a message",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{raw1("init")},
			back:    [][]byte{raw1("accept")},
			printed: accepted,
			err:     "closed before any message came",
		},
		{
			name:    "version 1, a message that does not unwrap",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{raw1("init"), raw1("Sone"), raw1("Xtwo"), raw1("Sthree")},
			back:    [][]byte{raw1("accept"), raw1(mic("one"))},
			printed: accepted + "Received message: \"one\"\nGSS-API error unsealing message: A token had an invalid Message Integrity Check (MIC)\nGSS-API error unsealing message: wrong kind\n",
			err:     "unsealing message: A token had an invalid Message Integrity Check (MIC): wrong kind",
		},
		{
			name: "unauthenticated, not allowed",
			cfg:  sign.Config{Acceptor: open},
			sent: [][]byte{end, raw(plainData, "hello"), end},
			err:  "unauthenticated session refused",
		},
		{
			name:    "unauthenticated",
			cfg:     sign.Config{Acceptor: open, AllowUnauthenticated: true},
			sent:    [][]byte{end, raw(plainData, "hello"), end},
			back:    [][]byte{end},
			printed: "Accepted unauthenticated connection.\nAccepted unauthenticated connection.\nReceived message: \"hello\"\nNOOP token\n",
		},
		{
			name:    "unauthenticated, wants a MIC",
			cfg:     sign.Config{Acceptor: open, AllowUnauthenticated: true},
			sent:    [][]byte{end, raw(plainData|token.SendMIC, "hello"), end},
			printed: "Accepted unauthenticated connection.\nAccepted unauthenticated connection.\nUnauthenticated client requested authenticated services!\n",
			err:     "unauthenticated client requested authenticated services",
		},
		{
			name:    "refused context: the error token is sent",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{greeting, raw(token.Context, "what?")},
			back:    [][]byte{raw(token.Context, "error")},
			printed: "GSS-API error accepting context: Invalid token was supplied\nGSS-API error accepting context: not \\x1b[2Jinit\n",
			err:     "accepting context: Invalid token was supplied: not",
		},
		{
			name:    "a gap, with sequencing",
			cfg:     sign.Config{Acceptor: sequenced},
			sent:    [][]byte{begin, raw(allFlags, "Ghello"), end},
			back:    [][]byte{standing},
			printed: "context flag: GSS_C_REPLAY_FLAG\ncontext flag: GSS_C_SEQUENCE_FLAG\n" + accepted + "GSS-API error unsealing message: An expected per-message token was not received\nGSS-API error unsealing message: Unknown error\n",
			err:     "An expected per-message token was not received",
		},
		{
			name:    "a gap, without sequencing",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(0xa4, "Ghello"), end},
			back:    [][]byte{standing, raw(token.MIC, mic("hello"))},
			printed: accepted + "Received message: \"hello\"\nNOOP token\n",
		},
		{
			name:    "a duplicate",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(0xa4, "Dhello"), end},
			back:    [][]byte{standing},
			printed: accepted + "GSS-API error unsealing message: The token was a duplicate of an earlier token\nGSS-API error unsealing message: Unknown error\n",
			err:     "The token was a duplicate",
		},
		{
			name:    "no MIC can be made",
			cfg:     sign.Config{Acceptor: &fake{noMIC: true}},
			sent:    [][]byte{begin, raw(allFlags, "Shello"), end},
			back:    [][]byte{standing},
			printed: accepted + "Received message: \"hello\"\nGSS-API error signing message: The referenced context has expired\nGSS-API error signing message: over\n",
			err:     "signing message: The referenced context has expired",
		},
		{
			name:    "an empty frame that should be wrapped",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(allFlags, ""), end},
			back:    [][]byte{standing},
			printed: accepted + "GSS-API error unsealing message: Invalid token was supplied\nGSS-API error unsealing message: Unknown error\n",
			err:     "Invalid token was supplied",
		},
		{
			name:    "a context token first",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{raw(token.Context, "init")},
			printed: "Expected NOOP token, got 2 token instead\n",
			err:     "expected a NOOP frame first, got one with CONTEXT",
		},
		{
			name: "a message instead of a context token",
			cfg:  sign.Config{Acceptor: open, AllowUnauthenticated: true},
			sent: [][]byte{greeting, raw(allFlags, "Shello")},
			err:  "expected a frame with CONTEXT, got one with DATA|WRAPPED|ENCRYPTED|SEND_MIC",
		},
		{
			name:    "a context token after the context",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(token.Context, "init"), end},
			back:    [][]byte{standing},
			printed: accepted,
			err:     "expected a DATA frame, got one with CONTEXT",
		},
		{
			name:    "DATA and CONTEXT in one",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(token.Data|token.Context, "init"), end},
			back:    [][]byte{standing},
			printed: accepted,
			err:     "expected a DATA frame, got one with CONTEXT|DATA",
		},
		{
			name: "nothing",
			cfg:  sign.Config{Acceptor: open},
			err:  "connection closed before anything was sent",
		},
		{
			name: "greeting alone",
			cfg:  sign.Config{Acceptor: open},
			sent: [][]byte{greeting},
			err:  "EOF",
		},
		{
			name:    "no NOOP at the end",
			cfg:     sign.Config{Acceptor: open},
			sent:    [][]byte{begin, raw(allFlags, "Shello")},
			back:    [][]byte{standing, raw(token.MIC, mic("hello"))},
			printed: accepted + "Received message: \"hello\"\n",
			err:     "closed without the NOOP frame",
		},
		{
			name: "HTTP",
			cfg:  sign.Config{Acceptor: open},
			sent: [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")},
			err:  "longer than the limit of 16777216",
		},
		{
			name: "4 GiB",
			cfg:  sign.Config{Acceptor: open},
			sent: [][]byte{greeting, []byte("\x02\xff\xff\xff\xff")},
			err:  "frame of 4294967295 bytes is longer than the limit of 16777216",
		},
		{
			name: "version 1, longer than allowed",
			cfg:  sign.Config{Acceptor: open, MaxMessage: 100},
			sent: [][]byte{{0, 0, 0, 101}},
			err:  "frame of 101 bytes is longer than the limit of 100",
		},
		{
			name: "cut off inside a frame",
			cfg:  sign.Config{Acceptor: open},
			sent: [][]byte{greeting, []byte("\x02\x00\x00\x00\x04ini")},
			err:  "stream ended inside a frame",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			deleted := 0
			if f := tt.cfg.Acceptor.(*fake); true {
				copied := *f
				copied.deleted = &deleted
				tt.cfg.Acceptor = &copied
			}
			back, printed, err := talk(t, tt.cfg, slices.Concat(tt.sent...))
			if want := slices.Concat(tt.back...); !bytes.Equal(back, want) {
				t.Errorf("sent back %q, want %q", back, want)
			}
			if printed != tt.printed {
				t.Errorf("printed\n%swant\n%s", printed, tt.printed)
			}
			if err == nil && tt.err != "" || err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if deleted > 1 || deleted == 0 && strings.Contains(printed, accepted) {
				t.Errorf("the context was deleted %d times", deleted)
			}
		})
	}
}

// The context and what was delegated with it are released on every way out.
func TestReleased(t *testing.T) {
	for name, sent := range map[string][]byte{"good": end, "failed": raw(0x08, ""), "cut off": {4}} {
		released := 0
		_, printed, _ := talk(t, sign.Config{Acceptor: &fake{flags: gss.Delegation, deleted: &released}}, slices.Concat(begin, sent))
		if released != 2 {
			t.Errorf("%s: %d of 2 released", name, released)
		}
		if !strings.HasPrefix(printed, "context flag: GSS_C_DELEG_FLAG\n") {
			t.Errorf("%s: printed\n%s", name, printed)
		}
	}
}

// What the MIT program prints under -verbose, in the same order and form.
func TestVerbose(t *testing.T) {
	cfg := sign.Config{
		Acceptor: &fake{flags: gss.Mutual}, Verbose: true,
		LocalName: func(n gss.Name) (string, error) { return strings.TrimSuffix(n.String(), "@R"), nil },
	}
	_, printed, err := talk(t, cfg, slices.Concat(begin, raw(allFlags, "S0123456789abcdef"), end))
	if err != nil {
		t.Fatal(err)
	}
	const want = `Received token (size=4): ` + `
69 6e 69 74 ` + `
Sending accept_sec_context token (size=6):
61 63 63 65 70 74 ` + `

context flag: GSS_C_MUTUAL_FLAG
Accepted connection using mechanism OID { 1 2 3 }.
localname: alice
Accepted connection: "alice@R"
Message token (flags=228):
53 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 ` + `
66 ` + `
Received message: "0123456789abcdef"
NOOP token
`
	if printed != want {
		t.Errorf("printed\n%swant\n%s", printed, want)
	}
}

// The local name is printed where there is one. Why there is none only the log
// says.
func TestLocalNames(t *testing.T) {
	for name, tt := range map[string]struct {
		local string
		err   error
		want  string
		log   string
	}{
		"mapped":      {local: "alice", want: "localname: alice\n", log: " localname=alice "},
		"hostile":     {local: "a\nlocalname: root\x1b[m", want: "localname: a\\nlocalname: root\\x1b[m\n", log: ` localname="a\nlocalname: root\x1b[m" `},
		"unavailable": {err: &gss.Error{Major: gss.ErrUnavailable}},
		"not mapped":  {err: errors.New("No translation available for requested principal"), log: ` localname_error="No translation available for requested principal" `},
	} {
		var out, logged bytes.Buffer
		log := logrus.New()
		log.SetOutput(&logged)
		svc, err := sign.New(sign.Config{Acceptor: new(fake), Output: &out, LocalName: func(gss.Name) (string, error) { return tt.local, tt.err }})
		if err != nil {
			t.Fatal(err)
		}
		srv, err := server.New(server.Config{Service: svc, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		err = srv.ServeConn(t.Context(), &stream{in: bytes.NewReader(slices.Concat(begin, end))})
		if want := tt.want + accepted + "NOOP token\n"; out.String() != want || err != nil {
			t.Errorf("%s: printed\n%swant\n%s%v", name, &out, want, err)
		}
		if got := logged.String(); !strings.Contains(got, tt.log) || tt.log == "" && strings.Contains(got, "localname") {
			t.Errorf("%s: logged %s", name, got)
		}
	}
}

// Text is printed as it is, anything that could steer a terminal as a dump.
func TestMessagesPrinted(t *testing.T) {
	for msg, want := range map[string]string{
		"h":                        `"h"`,
		"two\nlines\tand a tab":    "\"two\nlines\tand a tab\"",
		"caf\u00e9":                "\"caf\u00e9\"",
		"\u00e9t\u00e9":            "\nc3 a9 74 c3 a9 ", // MIT's looks at the first two bytes
		"x\x1b]0;title\x07":        "\n78 1b 5d 30 3b 74 69 74 6c 65 07 ",
		"over\rwrite":              "\n6f 76 65 72 0d 77 72 69 74 65 ",
		"ab\x00cd":                 "\n61 62 00 63 64 ",
		"ab\u0085":                 "\n61 62 c2 85 ",
		"ab\u202e":                 "\n61 62 e2 80 ae ",
		"ab\xff":                   "\n61 62 ff ",
		"\x00":                     "\n00 ",
		"":                         "\n",
		strings.Repeat("\x01", 17): "\n" + strings.Repeat("01 ", 16) + "\n01 ",
		strings.Repeat("\x01", 16): "\n" + strings.Repeat("01 ", 16) + "\n",
	} {
		_, printed, err := talk(t, sign.Config{Acceptor: new(fake)}, slices.Concat(begin, raw(0x04, msg), end))
		if want := accepted + "Received message: " + want + "\nNOOP token\n"; printed != want || err != nil {
			t.Errorf("%q: printed\n%swant\n%s%v", msg, printed, want, err)
		}
	}
	_, printed, _ := talk(t, sign.Config{Acceptor: &fake{client: "eve\x1b[2J\"@R\nAccepted connection: \"root@R"}}, slices.Concat(begin, end))
	if want := `Accepted connection: "eve\x1b[2J"@R\nAccepted connection: "root@R"` + "\nNOOP token\n"; printed != want {
		t.Errorf("hostile name printed as\n%swant\n%s", printed, want)
	}
}

// Whatever a peer sends, the session ends, nothing that steers a terminal is
// printed, and the answers are no more than the messages asked for.
func FuzzSession(f *testing.F) {
	f.Add(slices.Concat(begin, raw(allFlags, "Shello"), raw(0xa4, "Gx"), raw(0x04, "plain\x1b"), end), false)
	f.Add(slices.Concat(raw1("more"), raw1("init"), raw1("Sone"), raw1("Ptwo")), false)
	f.Add(slices.Concat(end, raw(plainData, "hello"), end), true)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Add([]byte("\x11\x00\x00\x00\x00\x02\xff\xff\xff\xff"), false)
	f.Fuzz(func(t *testing.T, sent []byte, unauthenticated bool) {
		cfg := sign.Config{Acceptor: new(fake), AllowUnauthenticated: unauthenticated, MaxMessage: 1 << 16}
		back, printed, err := talk(t, cfg, sent)
		if i := strings.IndexFunc(printed, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
			t.Errorf("printed %q", printed[i:])
		}
		if len(back) > 37*(1+len(sent)/4) {
			t.Errorf("%d bytes were answered by %d", len(sent), len(back))
		}
		if err == nil && !bytes.HasSuffix([]byte(printed), []byte("NOOP token\n")) && sent[0] != 0 {
			t.Errorf("session of version 2 ended well without NOOP: printed %q", printed)
		}
	})
}

// What a peer chose stands in errors: of a long text the beginning is printed
// and logged, and its length.
func TestLongErrors(t *testing.T) {
	long := strings.Repeat("\xc3\xa9", 20_000)
	var out, logged bytes.Buffer
	log := logrus.New()
	log.SetOutput(&logged)
	svc, err := sign.New(sign.Config{Acceptor: new(fake), Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Service: svc, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	sent := slices.Concat(greeting, raw(token.Context, long))
	if err := srv.ServeConn(t.Context(), &stream{in: bytes.NewReader(sent)}); !errors.Is(err, gss.ErrFailure) {
		t.Fatal(err)
	}
	const length = "... (40019 bytes)"
	if got := out.String(); len(got) > 2000 || !strings.Contains(got, "no such principal: \u00e9\u00e9") || !strings.Contains(got, length) {
		t.Errorf("printed %d bytes: %.100q...", len(got), got)
	}
	if got := logged.String(); len(got) > 6000 || !strings.Contains(got, "no such principal: ") || !strings.Contains(got, "bytes)") {
		t.Errorf("logged %d bytes: %.100q...", len(got), got)
	}
}

// Who asks for no authentication is refused, and the log has what would let him
// in.
func TestUnauthenticatedHint(t *testing.T) {
	var logged bytes.Buffer
	log := logrus.New()
	log.SetOutput(&logged)
	svc, err := sign.New(sign.Config{Acceptor: new(fake)})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Service: svc, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.ServeConn(t.Context(), &stream{in: bytes.NewReader(end)}); err == nil {
		t.Error("served")
	}
	if got := logged.String(); !strings.Contains(got, "hint=") || !strings.Contains(got, "--allow-unauthenticated") {
		t.Errorf("logged %s", got)
	}
}
