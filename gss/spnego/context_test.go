package spnego

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

// established gives both ends of a Kerberos context that was negotiated.
func established(t testing.TB) (ic, ac gss.Context) {
	t.Helper()
	k := newKerberos(t)
	ic, token := begin(t, gss.Request{Target: gss.HostService(service)}, fake{mech: mechA, legs: 1}, k.initiator(t))
	ac = accept(t, k.acceptor(t))
	if _, ierr, aerr := run(t, ic, token, ac, nil); ierr != nil || aerr != nil {
		t.Fatal(ierr, aerr)
	}
	return ic, ac
}

func TestIncompleteContext(t *testing.T) {
	ic, _ := initiate(t, fake{mech: mechA, legs: 2})
	ac := accept(t, fake{mech: mechA, legs: 2})
	for _, c := range []gss.Context{ic, ac} {
		_, merr := c.MIC(nil, nil)
		_, werr := c.Wrap(nil, nil, true)
		_, _, uerr := c.Unwrap(nil, nil)
		_, lerr := c.WrapSizeLimit(100, true)
		_, perr := c.PseudoRandom(gss.PRFKeyFull, nil, 1)
		_, kerr := c.SessionKey()
		_, eerr := c.Export()
		for _, err := range []error{merr, werr, uerr, lerr, perr, kerr, eerr, c.VerifyMIC(nil, nil)} {
			if !errors.Is(err, gss.ErrNoContext) {
				t.Errorf("a call before the context stands: %v", err)
			}
		}
		if c.Established() {
			t.Error("established")
		}
	}
	if info := ic.Inquire(); info.Mechanism != mechA || !info.Local {
		t.Errorf("initiator: %+v", info)
	}
	if info := ac.Inquire(); info.Mechanism != gss.MechSPNEGO || info.Local {
		t.Errorf("acceptor: %+v", info)
	}
}

func TestDelete(t *testing.T) {
	var live int
	f := fake{mech: mechA, legs: 2, live: &live}
	i, err := NewInitiator(f, fake{mech: mechB, legs: 2, live: &live})
	must(t, err)
	unbegun, err := i.Initiate(t.Context(), gss.Request{})
	must(t, err)
	begun, token := initiate(t, f)
	accepted := accept(t, fake{mech: mechA, legs: 3, live: &live})
	if _, err := accepted.Step((&negTokenInit{mechList: marshalMechList([]gss.OID{mechA})}).marshal()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []gss.Context{unbegun, begun, accepted, accept(t, f)} {
		c.Delete()
		c.Delete()
		if _, err := c.Step(token); !errors.Is(err, gss.ErrNoContext) {
			t.Errorf("Step after Delete: %v", err)
		}
		if _, err := c.MIC(nil, nil); !errors.Is(err, gss.ErrNoContext) {
			t.Errorf("MIC after Delete: %v", err)
		}
		if c.Established() || c.Inquire().Established {
			t.Error("established after Delete")
		}
	}
	if live != 0 {
		t.Errorf("%d mechanism contexts outlive the deletion", live)
	}

	ic, ac := established(t)
	for _, c := range []gss.Context{ic, ac} {
		c.Delete()
		if _, err := c.Wrap(nil, nil, true); !errors.Is(err, gss.ErrNoContext) || c.Established() {
			t.Errorf("established %t, Wrap after Delete: %v", c.Established(), err)
		}
		if _, err := c.Step(nil); !errors.Is(err, gss.ErrNoContext) {
			t.Errorf("Step after Delete: %v", err)
		}
	}
}

// Many goroutines use a context while another deletes it: each call succeeds or
// says that there is no context any more.
func TestConcurrentUse(t *testing.T) {
	ic, ac := established(t)
	msg := []byte("message")
	var wg sync.WaitGroup
	for user := range 8 {
		wg.Go(func() {
			for turn := range 200 {
				if user == 0 && turn == 100 {
					ic.Delete()
				}
				token, err := ic.Wrap(nil, msg, true)
				if err == nil {
					_, _, err = ac.Unwrap(nil, token)
				}
				if errors.Is(err, gss.ErrNoContext) {
					return
				}
				if err != nil && !errors.Is(err, gss.ErrUnseqToken) && !errors.Is(err, gss.ErrGapToken) && !errors.Is(err, gss.ErrOldToken) {
					t.Error(err)
					return
				}
				ic.Inquire()
			}
		})
	}
	wg.Wait()
	if _, err := ic.Wrap(nil, msg, true); !errors.Is(err, gss.ErrNoContext) {
		t.Errorf("Wrap after Delete: %v", err)
	}
}

// What a context has beyond messages is the mechanism's, at both ends.
func TestMechanismServices(t *testing.T) {
	ic, ac := established(t)
	var keys, random [][]byte
	for _, ends := range [][2]gss.Context{{ic, ac}, {ac, ic}} {
		c, peer := ends[0], ends[1]
		key, err := c.SessionKey()
		must(t, err)
		keys = append(keys, key)
		prf, err := c.PseudoRandom(gss.PRFKeyFull, []byte("input"), 40)
		must(t, err)
		random = append(random, prf)
		limit, err := c.WrapSizeLimit(1000, true)
		must(t, err)
		token, err := c.Wrap(nil, make([]byte, limit), true)
		if err != nil || len(token) != 1000 {
			t.Errorf("%d bytes, said to fill 1000, take %d, %v", limit, len(token), err)
		}
		_, _, err = peer.Unwrap(nil, token)
		must(t, err)
	}
	if len(keys[0]) == 0 || !bytes.Equal(keys[0], keys[1]) || len(random[0]) != 40 || !bytes.Equal(random[0], random[1]) {
		t.Error("the ends' session keys or pseudo-random octets differ")
	}

	// The exported context goes on as Kerberos; the exporting one is gone.
	token, err := ac.Export()
	must(t, err)
	imported, err := krb5.ImportContext(token, krb5.ImportConfig{})
	must(t, err)
	msg := []byte("message")
	mic, err := imported.MIC(nil, msg)
	must(t, err)
	must(t, ic.VerifyMIC(msg, mic))
	if _, err := ac.MIC(nil, msg); !errors.Is(err, gss.ErrNoContext) || ac.Established() {
		t.Errorf("established %t, MIC after Export: %v", ac.Established(), err)
	}
	if _, err := ac.Step(nil); !errors.Is(err, gss.ErrNoContext) {
		t.Errorf("Step after Export: %v", err)
	}
}
