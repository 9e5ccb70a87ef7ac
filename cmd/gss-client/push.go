package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/token/pushwire"
)

// pushOptions are those of the push service.
type pushOptions struct {
	asked     bool // any of them was given, or --service push
	subscribe string
	watch     bool
	publish   string
	to        string
	batch     string
}

func (p *pushOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&p.subscribe, "subscribe", "", "")
	fs.BoolVar(&p.watch, "watch", false, "")
	fs.StringVar(&p.publish, "publish", "", "")
	fs.StringVar(&p.to, "to", "", "")
	fs.StringVar(&p.batch, "batch", "", "")
}

// pushFlags are the options of the push service alone.
var pushFlags = []string{"subscribe", "watch", "publish", "to", "batch"}

// notPush are the options that mean nothing to the push service, which has one
// context for all, with everything encrypted.
var notPush = []string{
	"v1", "na", "nw", "nx", "nm", "nomutual", "noreplay", "seq", "ccount", "mcount",
	"concurrency", "duration", "rate", "size", "psk-identity", "psk-file", "psk-weak",
}

const hintPush = "--subscribe 1,3 --watch, --publish 1,2, --to alice or --batch FILE says what to do"

// sends reports whether a message is to be given on the command line.
func (p *pushOptions) sends() bool { return p.publish != "" || p.to != "" }

// settle finds out whether the push service is meant.
func (o *options) settlePush(fs *pflag.FlagSet) error {
	p := &o.push
	i := slices.IndexFunc(pushFlags, fs.Changed)
	p.asked = i >= 0 || o.tls.service == "push"
	switch {
	case !p.asked:
		return nil
	case i < 0:
		return usage("--service push: there is nothing to do", hintPush)
	case fs.Changed("service") && o.tls.service != "push":
		return usage(fmt.Sprintf("--service %s and --%s contradict each other", o.tls.service, pushFlags[i]), "")
	}
	o.tls.service = "push"
	for _, name := range pushFlags {
		if f := fs.Lookup(name); f.Changed && f.Value.String() == "" {
			return usage(fmt.Sprintf("--%s has an empty value", name), "")
		}
	}
	return nil
}

func (o *options) checkPush(fs *pflag.FlagSet) error {
	p := &o.push
	if !p.asked {
		return nil
	}
	if i := slices.IndexFunc(notPush, fs.Changed); i >= 0 {
		return usage(fmt.Sprintf("the push service has no use for -%s", notPush[i]), "")
	}
	for _, name := range []string{"subscribe", "publish"} {
		if f := fs.Lookup(name); f.Changed {
			if _, err := parseGroups(f.Value.String()); err != nil {
				return usage(fmt.Sprintf("--%s: %v", name, err), fmt.Sprintf("as in --%s 1,3", name))
			}
		}
	}
	switch {
	case o.tls.transport == "dtls":
		return usage("dtls carries --service echo only: the push service needs a stream, and datagrams can be lost and come out of order", hintURL)
	case len(p.to) > pushwire.MaxName:
		return usage("--to: "+checkName(p.to).Error(), "")
	case p.watch && o.quiet:
		return usage("-q and --watch contradict each other", "")
	case o.file && !p.sends():
		return usage("-f is for the message of --publish and --to", "")
	}
	return nil
}
