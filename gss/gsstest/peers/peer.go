package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
)

// callTimeout bounds one call of a peer. It is only reached when something is
// broken.
const callTimeout = 30 * time.Second

// A Peer is a running program of another implementation. It holds one context
// at a time: the next Initiate or Accept ends the one before. It is not safe for
// concurrent use.
type Peer struct {
	roundTrip func(request [][]byte) (reply [][]byte, err error)
}

// Start runs the program in an environment, in which KRB5_CONFIG names its
// configuration file, KRB5CCNAME its tickets, KRB5_KTNAME its keys. It ends with
// the test.
func (p *Program) Start(t testing.TB, env []string) *Peer {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = env
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	t.Cleanup(func() {
		stdin.Close() // the program ends by that
		timer := time.AfterFunc(callTimeout, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s peer: %v\n%s", p.Implementation, err, &stderr)
		}
	})
	return &Peer{func(request [][]byte) ([][]byte, error) {
		timer := time.AfterFunc(callTimeout, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := writeStrings(stdin, request); err != nil {
			return nil, err
		}
		return readStrings(out)
	}}
}

// call makes a call of the peer's. A *gss.Error is the library's, with what
// it gave beside; any other error means that the program cannot be talked to.
func (p *Peer) call(results int, command string, args ...[]byte) ([][]byte, error) {
	reply, err := p.roundTrip(append([][]byte{[]byte(command)}, args...))
	if err != nil {
		return nil, fmt.Errorf("peer: %s: %w", command, err)
	}
	switch status := string(reply[0]); {
	case status == "ok" && len(reply) == 1+results:
		return reply[1:], nil
	case status == "error" && len(reply) == 4:
		return reply[3:], libraryError(reply[1], reply[2])
	default:
		return nil, fmt.Errorf("peer: %s: %d results after %q", command, len(reply)-1, status)
	}
}

// libraryError is a failure as the peer's library describes it.
func libraryError(major, text []byte) error {
	const supplementary = 0xffff // beside a routine error it says nothing
	n, err := parseNumber(major)
	if err != nil {
		return err
	}
	m := gss.Major(n)
	if routine := m &^ supplementary; routine != 0 {
		m = routine
	}
	return &gss.Error{Major: m, Err: fmt.Errorf("the peer says: %s", text)}
}

func parseNumber(text []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(text), 10, 32)
	return uint32(n), err
}

// mechanismWord is how the programs call a mechanism.
func mechanismWord(mech gss.OID) []byte {
	for _, word := range []string{"krb5", "spnego", "iakerb"} {
		if oid, err := gss.ParseMechanism(word); err == nil && oid == mech {
			return []byte(word)
		}
	}
	return []byte(mech.String())
}

// bindingsArgs are the arguments that give channel bindings, none for none. Of
// their fields only the application's data, the one in use, is passed on.
func bindingsArgs(b *gss.ChannelBindings) [][]byte {
	if b == nil {
		return nil
	}
	return [][]byte{b.ApplicationData}
}

// Initiator gives the peer as an initiator of a mechanism's contexts. The flags
// of its requests are the library's to fulfil.
func (p *Peer) Initiator(mech gss.OID) gss.Initiator { return initiator{p, mech} }

// Acceptor gives the peer as an acceptor of a mechanism's contexts, for a
// host-based service or, with "", for every key of its keytab.
func (p *Peer) Acceptor(mech gss.OID, service string) gss.Acceptor { return acceptor{p, mech, service} }

type initiator struct {
	p    *Peer
	mech gss.OID
}

func (i initiator) Mechanism() gss.OID { return i.mech }

func (i initiator) Initiate(_ context.Context, req gss.Request) (gss.Context, error) {
	if req.Flags == 0 {
		req.Flags = gss.DefaultFlags
	}
	flags := []byte(strconv.FormatUint(uint64(req.Flags), 10))
	args := append([][]byte{mechanismWord(i.mech), []byte(req.Target.String()), flags}, bindingsArgs(req.Bindings)...)
	if _, err := i.p.call(0, "init", args...); err != nil {
		return nil, err
	}
	return &Context{p: i.p, mech: i.mech, local: true}, nil
}

type acceptor struct {
	p       *Peer
	mech    gss.OID
	service string
}

func (a acceptor) Mechanism() gss.OID { return a.mech }

func (a acceptor) Accept(bindings *gss.ChannelBindings) (gss.Context, error) {
	args := append([][]byte{mechanismWord(a.mech), []byte(a.service)}, bindingsArgs(bindings)...)
	if _, err := a.p.call(0, "accept", args...); err != nil {
		return nil, err
	}
	return &Context{p: a.p, mech: a.mech}, nil
}

// Env adds the variables by which a peer finds its files to an environment from
// which the machine's own Kerberos set-up is taken out. dir is for what the
// library writes by itself.
func Env(environ []string, config, cache, keytab, dir string) []string {
	var env []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "KRB5") && !strings.HasPrefix(v, "GSS") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return append(env, "KRB5_CONFIG="+config, "KRB5CCNAME=FILE:"+cache, "KRB5_KTNAME=FILE:"+keytab, "KRB5RCACHEDIR="+dir, "LC_ALL=C")
}
