package tlspolicy

import (
	"fmt"
	"strings"
)

// maxText is the longest text about a client, in bytes, that a log is given: names
// in its certificate and its hello are of its choosing, and have room for 64 KiB
// and more.
const maxText = 1 << 10

// clip cuts text that is longer short, and says so.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:maxText], ""), len(text))
}

// A clippedError is an error whose text may have what a client chose.
type clippedError struct{ error }

func (e clippedError) Error() string { return clip(e.error.Error()) }
func (e clippedError) Unwrap() error { return e.error }
