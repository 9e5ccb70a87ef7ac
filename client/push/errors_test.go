package push_test

import (
	"testing"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A server that says what the code says already is not quoted.
func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"push: the server stops":                      &push.ByeError{Code: pushwire.Stopping, Why: "the server stops"},
		"push: the server stops: for tonight":         &push.ByeError{Code: pushwire.Stopping, Why: "for tonight"},
		"other servers could not be reached":          &push.RefusedError{Status: pushwire.Unreached, Why: "other servers could not be reached"},
		"other servers could not be reached: \\u202e": &push.RefusedError{Status: pushwire.Unreached, Why: "\u202e"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
