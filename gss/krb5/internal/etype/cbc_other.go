//go:build !amd64 || purego

package etype

import "crypto/aes"

func useWide() bool { return false }

// A wideKey is nothing here: see cbc_amd64.go.
type wideKey struct{}

func (*wideKey) setKey([]byte)                                {}
func (*wideKey) encrypt(*[aes.BlockSize]byte, []byte)         {}
func (*wideKey) decrypt(*[aes.BlockSize]byte, []byte, []byte) {}
