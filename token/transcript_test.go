package token_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/token"
)

// A transcript is what two of MIT's programs said to each other. TestRecord says how it is made; its file holds what each
// side wrote in turn, as hexadecimal dumps under the writer's name.
type transcript struct {
	name                string
	initiator, acceptor []byte
}

const (
	initiatorSays = ">>> initiator"
	acceptorSays  = "<<< acceptor"
)

func transcriptFile(name string) string { return filepath.Join("testdata", "mit-"+name+".txt") }

// transcripts reads all that is recorded.
func transcripts(t testing.TB) []transcript {
	t.Helper()
	var all []transcript
	for _, r := range recordings {
		text, err := os.ReadFile(transcriptFile(r.name))
		if err != nil {
			t.Fatal(err)
		}
		x := transcript{name: r.name}
		said := (*[]byte)(nil)
		for line := range strings.Lines(string(text)) {
			switch line = strings.TrimSuffix(line, "\n"); {
			case strings.HasPrefix(line, "#") || line == "":
			case line == initiatorSays:
				said = &x.initiator
			case line == acceptorSays:
				said = &x.acceptor
			default:
				b, err := hex.DecodeString(strings.ReplaceAll(line[10:min(59, len(line))], " ", ""))
				if err != nil || said == nil {
					t.Fatalf("%s: bad line %q: %v", r.name, line, err)
				}
				*said = append(*said, b...)
			}
		}
		all = append(all, x)
	}
	return all
}

// What MIT's programs said is read to the end, is what their options make them say, and comes out of a writer as it was.
func TestTranscripts(t *testing.T) {
	for i, x := range transcripts(t) {
		for _, side := range []struct {
			name string
			wire []byte
			want string
		}{{"initiator", x.initiator, recordings[i].initiator}, {"acceptor", x.acceptor, recordings[i].acceptor}} {
			t.Run(x.name+"/"+side.name, func(t *testing.T) {
				c := token.NewConn(peerSays(side.wire))
				again := &stream{}
				var out *token.Conn
				var got []string
				for {
					frame, err := c.ReadFrame()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatalf("after %v: %v", got, err)
					}
					if out == nil {
						out = conn(t, c.Version(), 0, again)
					}
					if err := out.WriteFrame(frame.Flags, frame.Data); err != nil {
						t.Fatal(err)
					}
					content := "empty"
					if len(frame.Data) > 0 {
						content = fmt.Sprintf("%02x", frame.Data[:min(2, len(frame.Data))])
					}
					got = append(got, fmt.Sprintf("%v:%s", frame.Flags, content))
				}
				if got := strings.Join(got, " "); got != side.want {
					t.Errorf("frames are\n%s\nwant\n%s", got, side.want)
				}
				if !bytes.Equal(concat(again.writes...), side.wire) {
					t.Errorf("written again it differs")
				}
			})
		}
	}
}
