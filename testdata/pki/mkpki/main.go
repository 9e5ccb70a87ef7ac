// Command mkpki writes the certificates of package pki into a directory, to try
// gss-server's TLS by hand:
//
//	go run ./testdata/pki/mkpki DIR
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/countersign-go/countersign/testdata/pki"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run gives the exit status: 0, 1 when it fails, 2 when the command line makes no
// sense.
func run(args []string, stderr io.Writer) int {
	options := flag.NewFlagSet("mkpki", flag.ContinueOnError)
	options.SetOutput(stderr)
	options.Usage = func() { fmt.Fprintln(stderr, "usage: mkpki directory") }
	switch err := options.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case options.NArg() != 1:
		options.Usage()
		return 2
	}
	dir := options.Arg(0)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		_, err = pki.New(dir)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mkpki:", err)
		return 1
	}
	return 0
}
