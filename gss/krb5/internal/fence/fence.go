// Package fence stands between this module and gokrb5, whose decoders panic on some of
// what a peer can send. It is the last fence: shapes and lengths that are known to make
// gokrb5 panic, or allocate without measure, are refused before it is called.
package fence

import "fmt"

// Run calls f, and gives its error, or one in place of its panic.
func Run(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("message is malformed: %v", r)
		}
	}()
	return f()
}
