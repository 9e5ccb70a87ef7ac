package krb5_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

// What krb5.conf says binds acceptors and initiators.
func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		name      string
		enctype   int32
		acceptor  string // lines of its [libdefaults]
		initiator string
		service   string        // to accept for
		behind    time.Duration // of the acceptor's clock
		err       string        // of who refuses; empty: there is a context
	}{
		{name: "nothing said", enctype: 18, service: "host@localhost"},
		{name: "another host's key", enctype: 18, service: "host@other", err: "No key table entry found matching host/other@"},
		{name: "the host's name ignored", enctype: 18, service: "host@other", acceptor: "ignore_acceptor_hostname = yes"},
		{name: "another service", enctype: 18, service: "http@other", acceptor: "ignore_acceptor_hostname = yes", err: "No key table entry found matching http/"},
		{name: "within the clock skew", enctype: 18, service: "host@localhost", behind: 4 * time.Minute},
		{name: "beyond it", enctype: 18, service: "host@localhost", behind: 6 * time.Minute, err: "Clock skew too great"},
		{name: "beyond a small one", enctype: 18, service: "host@localhost", behind: 2 * time.Minute, acceptor: "clockskew = 60", err: "Clock skew too great"},
		{name: "within a large one", enctype: 18, service: "host@localhost", behind: 6 * time.Minute, acceptor: "clockskew = 10m"},
		{name: "the ticket's enctype not permitted", enctype: 18, service: "host@localhost", acceptor: "permitted_enctypes = aes128-cts", err: "Encryption type not permitted"},
		{name: "a family less one", enctype: 17, service: "host@localhost", acceptor: "permitted_enctypes = aes -aes128-cts", err: "Encryption type not permitted"},
		{name: "the rest of the family", enctype: 18, service: "host@localhost", acceptor: "permitted_enctypes = aes -aes128-cts"},
		{name: "the initiator does not permit it", enctype: 18, service: "host@localhost", initiator: "permitted_enctypes = aes256-sha2", err: "encryption type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSetup(t, tt.enctype)
			profile := func(lines string) *krb5.Profile {
				p, err := krb5.ReadProfile(writeFile(t, "krb5.conf", []byte("[libdefaults]\n"+lines+"\n"+string(s.realm.Krb5Conf()))))
				must(t, err)
				return p
			}
			err := func() error {
				p := profile(tt.acceptor)
				clock := func() time.Time { return time.Now().Add(-tt.behind) }
				cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
					Usage: gss.AcceptOnly, Name: gss.HostService(tt.service), Keytab: s.keytab, Profile: p,
				})
				if err != nil {
					return err
				}
				none, err := krb5.OpenReplayCache("none:", p)
				must(t, err)
				a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: none, Time: clock})
				if err != nil {
					return err
				}
				s.profile = profile(tt.initiator)
				ic, err := s.initiator(t).Initiate(t.Context(), gss.Request{Target: gss.HostService(service)})
				if err != nil {
					return err
				}
				token, err := ic.Step(nil)
				must(t, err)
				ac, err := a.Accept(nil)
				must(t, err)
				_, err = ac.Step(token)
				return err
			}()
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
			}
		})
	}
}
