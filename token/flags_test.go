package token_test

import (
	"testing"

	"github.com/countersign-go/countersign/token"
)

func TestFlagsString(t *testing.T) {
	for _, test := range []struct {
		flags token.Flags
		wire  byte
		want  string
	}{
		{0, 0, "0"},
		{token.NOOP, 0x01, "NOOP"},
		{token.Context, 0x02, "CONTEXT"},
		{token.MIC, 0x08, "MIC"},
		{token.NOOP | token.ContextNext, 0x11, "NOOP|CONTEXT_NEXT"},
		{token.Data | token.Wrapped | token.Encrypted | token.SendMIC, 0xe4, "DATA|WRAPPED|ENCRYPTED|SEND_MIC"},
		{0xff, 0xff, "NOOP|CONTEXT|DATA|MIC|CONTEXT_NEXT|WRAPPED|ENCRYPTED|SEND_MIC"},
	} {
		if byte(test.flags) != test.wire || test.flags.String() != test.want {
			t.Errorf("%#02x is %q, want %#02x, %q", byte(test.flags), test.flags, test.wire, test.want)
		}
	}
}

func TestVersionString(t *testing.T) {
	for v, want := range map[token.Version]string{token.Detect: "undetected", token.V1: "1", token.V2: "2", 7: "Version(7)"} {
		if v.String() != want {
			t.Errorf("Version %d is %q, want %q", int(v), v, want)
		}
	}
}
