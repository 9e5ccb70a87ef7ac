// Command mkpki writes the certificates of package pki into a directory, to try
// gss-server's TLS by hand:
//
//	go run ./testdata/pki/mkpki DIR
package main

import (
	"fmt"
	"os"

	"github.com/countersign-go/countersign/testdata/pki"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mkpki directory")
		os.Exit(2)
	}
	err := os.MkdirAll(os.Args[1], 0o700)
	if err == nil {
		_, err = pki.New(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkpki:", err)
		os.Exit(1)
	}
}
