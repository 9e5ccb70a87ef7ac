//go:build unix

package psk

import (
	"fmt"
	"os"
)

// exposure warns of a file that others than its owner can get at.
func exposure(f *os.File) string {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("%s: mode %#o lets others at the keys: chmod 600", f.Name(), info.Mode().Perm())
}
