//go:build unix

package rcache

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// checkOwner refuses a file that is another user's: who owns the file can empty it, and have any request accepted again.
func checkOwner(info fs.FileInfo) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("owned by user %d, not %d: %w: remove it, or set KRB5RCACHEDIR", s.Uid, os.Geteuid(), fs.ErrPermission)
	}
	return nil
}
