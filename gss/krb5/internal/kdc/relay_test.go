package kdc

import (
	"context"
	"errors"
	"testing"
)

// TestRelay has somebody else carry the messages: once each, though the
// configuration names a primary KDC to ask again.
func TestRelay(t *testing.T) {
	conf := parseProfile(t, "[realms]\nR = {\n kdc = 127.0.0.1:1\n primary_kdc = 127.0.0.1:2\n}\n")
	broken := errors.New("broken")
	tests := []struct {
		name  string
		reply []byte
		err   error
		want  error // nil: any
	}{
		{"refused", krbError(t, errClientUnknown, nil), nil, &Error{Code: errClientUnknown}},
		{"no reply at all", []byte("garbage"), nil, errNotReply},
		{"AP-REQ", []byte("\x6e\x00"), nil, errNotReply},
		{"broken", nil, broken, broken},
	}
	for _, tt := range tests {
		var realms []string
		c := &Client{Profile: conf, Relay: func(_ context.Context, realm string, request []byte) ([]byte, error) {
			realms = append(realms, realm)
			if request[0] != 0x6a {
				t.Errorf("%s: request %x", tt.name, request)
			}
			return tt.reply, tt.err
		}}
		_, err := c.AS(t.Context(), Principal{Components: []string{"alice"}, Realm: "R"}, Password("secret"), ASOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if len(realms) != 1 || realms[0] != "R" {
			t.Errorf("%s: asked %q", tt.name, realms)
		}
	}
}
