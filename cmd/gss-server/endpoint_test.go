package main

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// FuzzEndpoint: what is accepted as a URL names a known transport and service
// and an address with a port, and is not a contradiction.
func FuzzEndpoint(f *testing.F) {
	for _, text := range []string{
		":4444", "localhost:0", "tcp://:4444", "tls://[::1]:4445", "tls://h:1?service=echo", "tls://h:1?service=push", "dtls://:1?service=push", "dtls://:1?service=echo&reply=ack",
		"tls://u:p@h:1", "tls://h:1/x", "tls://h:1#x", "tls://%zz:1", "tls://h:1?service=%zz", "://", "tls://h:1?service=echo;service=sign",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEndpoint(text)
		if err != nil {
			if hinted, ok := errors.AsType[*hintedError](err); !ok || hinted.hint == "" {
				t.Errorf("%q: %v has no hint", text, err)
			}
			return
		}
		if !slices.Contains(transports, e.transport) || !slices.Contains(services, e.service) || e.ack && e.transport != "dtls" || e.transport == "dtls" && e.service != "echo" {
			t.Errorf("%q: %+v", text, e)
		}
		if strings.Contains(text, "://") {
			if _, port, err := net.SplitHostPort(e.addr); err != nil || port == "" {
				t.Errorf("%q: address %q", text, e.addr)
			}
		}
	})
}
