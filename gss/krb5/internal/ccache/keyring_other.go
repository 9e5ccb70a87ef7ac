//go:build !linux

package ccache

import (
	"fmt"
	"runtime"
)

func openKeyring(residual string) (*Store, error) {
	return nil, &typeError{fmt.Sprintf("credential cache type KEYRING is Linux's, and this is %s (KEYRING:%s): use FILE, DIR or MEMORY", runtime.GOOS, residual)}
}

func keyringCollection(residual string) ([]*Store, error) {
	s, err := openKeyring(residual)
	return []*Store{s}, err
}
