//go:build !unix

package rcache

import "io/fs"

const noFollow = 0

// checkOwner accepts every file: the default directory is the user's own here.
func checkOwner(fs.FileInfo) error { return nil }
