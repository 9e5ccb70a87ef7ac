package kdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startRealm serves a realm with the principals that the tests below use.
func startRealm(t *testing.T) *mitRealm {
	t.Helper()
	r := newMITRealm(t, "TEST.EXAMPLE", "")
	kt := filepath.Join(r.dir, "kt")
	queries := []string{
		"addprinc -pw alicepw +requires_preauth alice",
		"addprinc -pw bobpw -requires_preauth bob",
		"addprinc -pw goldpw -expire 2001-01-01 gold",
		"addprinc -pw lockedpw -allow_tix locked",
		"addprinc -pw stalepw -pwexpire 2001-01-01 stale",
		"addprinc -randkey +requires_preauth robot",
		"addprinc -randkey host/server.test.example",
		"addprinc -randkey -e aes128-cts-hmac-sha256-128:normal host/sha2.test.example",
		"addprinc -pw renamedpw +requires_preauth maiden",
		"rename_principal -force maiden married",
		"ktadd -k " + kt + " robot",
		"ktadd -k " + kt + " host/server.test.example",
	}
	for _, e := range []string{"aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha384-192", "aes128-cts-hmac-sha256-128"} {
		queries = append(queries, fmt.Sprintf("addprinc -pw only -e %s:normal +requires_preauth only-%s", e, e))
	}
	r.admin(queries...)
	r.serve()
	return r
}

func TestAgainstMIT(t *testing.T) {
	r := startRealm(t)
	ctx := t.Context()
	c := &Client{Profile: r.profile("")}
	alice, server := r.user("alice"), r.host("server.test.example")
	tgt, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{})
	if err != nil {
		t.Fatalf("AS: %v", err)
	}

	t.Run("ticket-granting ticket", func(t *testing.T) {
		if !tgt.Client.Equal(alice) || !tgt.Server.Equal(TGS(r.name, r.name)) {
			t.Errorf("ticket for %v to %v", tgt.Client, tgt.Server)
		}
		if life := tgt.EndTime.Sub(tgt.StartTime); life != 24*time.Hour {
			t.Errorf("lifetime %v, want 24h", life)
		}
		if tgt.Key.Etype != 18 || len(tgt.Key.Value) != 32 {
			t.Errorf("session %v", tgt.Key)
		}
		if tgt.Flags&(FlagForwardable|FlagRenewable) != 0 {
			t.Errorf("flags %#x that were not asked for", tgt.Flags)
		}
	})

	t.Run("service", func(t *testing.T) {
		got, err := c.TGS(ctx, tgt, server, TGSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Server.Equal(server) || !got.Client.Equal(alice) || got.EndTime.After(tgt.EndTime) {
			t.Errorf("ticket for %v to %v until %v", got.Client, got.Server, got.EndTime)
		}
		server.Realm = ""
		if got, err = c.TGS(ctx, tgt, server, TGSOptions{}); err != nil || got.Server.Realm != r.name {
			t.Errorf("without a realm: %v, %v", got.Server, err)
		}
	})

	t.Run("without pre-authentication", func(t *testing.T) {
		if _, err := c.AS(ctx, r.user("bob"), Password("bobpw"), ASOptions{}); err != nil {
			t.Error(err)
		}
		_, err := c.AS(ctx, r.user("bob"), Password("wrong"), ASOptions{})
		wantError(t, err, "Password incorrect", -1765328353)
	})

	t.Run("salt of another name", func(t *testing.T) {
		if _, err := c.AS(ctx, r.user("married"), Password("renamedpw"), ASOptions{}); err != nil {
			t.Error(err)
		}
	})

	t.Run("service without TGS", func(t *testing.T) {
		got, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{Service: server})
		if err != nil || !got.Server.Equal(r.host("server.test.example")) {
			t.Errorf("%v, %v", got.Server, err)
		}
	})

	t.Run("keys", func(t *testing.T) {
		keys := keytabKeys(t, filepath.Join(r.dir, "kt"), "robot@"+r.name)
		if len(keys) != 4 {
			t.Fatalf("%d keys", len(keys))
		}
		for _, k := range keys {
			if _, err := c.AS(ctx, r.user("robot"), Keys(k), ASOptions{}); err != nil {
				t.Errorf("%v: %v", k, err)
			}
		}
		other := Key{Etype: 18, Value: make([]byte, 32)}
		_, err := c.AS(ctx, r.user("robot"), Keys(other), ASOptions{})
		wantError(t, err, "Preauthentication failed", -1765328360)
	})

	t.Run("encryption types", func(t *testing.T) {
		for name, id := range map[string]int32{"aes256-cts-hmac-sha1-96": 18, "aes128-cts-hmac-sha1-96": 17, "aes256-cts-hmac-sha384-192": 20, "aes128-cts-hmac-sha256-128": 19} {
			// One client has only this type's key, the other all: the request decides.
			one := &Client{Profile: c.Profile, TktEnctypes: []int32{id}, TGSEnctypes: []int32{id}}
			for _, who := range []Principal{r.user("only-" + name), alice} {
				pw := "only"
				if who.Equal(alice) {
					pw = "alicepw"
				}
				tgt, err := one.AS(ctx, who, Password(pw), ASOptions{})
				if err != nil {
					t.Errorf("%s, %v: %v", name, who, err)
					continue
				}
				got, err := one.TGS(ctx, tgt, r.host("server.test.example"), TGSOptions{})
				if err != nil || tgt.Key.Etype != id || got.Key.Etype != id {
					t.Errorf("%s: session keys %v and %v, %v", name, tgt.Key, got.Key, err)
				}
			}
		}
	})

	t.Run("refusals", func(t *testing.T) {
		_, err := c.AS(ctx, alice, Password("wrong"), ASOptions{})
		wantError(t, err, "Password incorrect", -1765328360)
		var pw *PasswordError
		if !errors.As(err, &pw) || !errors.Is(err, &Error{Code: 24}) {
			t.Errorf("%T does not tell a wrong password", err)
		}
		_, err = c.AS(ctx, r.user("nobody"), Password("x"), ASOptions{})
		wantError(t, err, "Client 'nobody@TEST.EXAMPLE' not found in Kerberos database", -1765328378)
		_, err = c.TGS(ctx, tgt, r.host("nowhere.test.example"), TGSOptions{})
		wantError(t, err, "Server host/nowhere.test.example@TEST.EXAMPLE not found in Kerberos database", -1765328377)
		_, err = c.AS(ctx, r.user("gold"), Password("goldpw"), ASOptions{})
		wantError(t, err, "Client's entry in database has expired", -1765328383)
		_, err = c.AS(ctx, r.user("locked"), Password("lockedpw"), ASOptions{})
		wantError(t, err, "Client's credentials have been revoked", -1765328366)
		_, err = c.AS(ctx, r.user("stale"), Password("stalepw"), ASOptions{})
		wantError(t, err, "Password has expired", -1765328361)
		only := &Client{Profile: c.Profile, TktEnctypes: []int32{17}}
		_, err = only.AS(ctx, r.user("only-aes256-cts-hmac-sha1-96"), Password("only"), ASOptions{})
		wantError(t, err, "Generic preauthentication failure", -1765328174)
		only.TGSEnctypes = []int32{17}
		_, err = only.TGS(ctx, tgt, r.host("sha2.test.example"), TGSOptions{})
		wantError(t, err, "KDC has no support for encryption type", -1765328370)
		_, err = c.AS(ctx, Principal{Components: []string{"alice"}, Realm: "ELSEWHERE"}, Password("x"), ASOptions{})
		wantError(t, err, `Cannot find KDC for realm "ELSEWHERE"`, -1765328230)
		if _, err = c.TGS(ctx, Ticket{Server: server}, server, TGSOptions{}); err == nil {
			t.Error("a service ticket was taken for a ticket-granting one")
		}
	})

	t.Run("forwarded and renewed", func(t *testing.T) {
		tgt, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{Forwardable: true, Lifetime: time.Hour, RenewLifetime: 48 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		// What is asked for is a time; the ticket may begin some seconds after it was reckoned.
		renewable := tgt.RenewTill.Sub(tgt.StartTime)
		if tgt.Flags&FlagForwardable == 0 || tgt.Flags&FlagRenewable == 0 || renewable > 48*time.Hour || renewable < 48*time.Hour-time.Minute {
			t.Fatalf("flags %#x, renewable %v", tgt.Flags, renewable)
		}
		fwd, err := c.TGS(ctx, tgt, TGS(r.name, r.name), TGSOptions{Forwarded: true})
		if err != nil || fwd.Flags&FlagForwarded == 0 || fwd.Flags&FlagForwardable == 0 {
			t.Errorf("forwarded: flags %#x, %v", fwd.Flags, err)
		}
		later := &Client{Profile: c.Profile}
		renewed, err := later.TGS(ctx, tgt, Principal{}, TGSOptions{Renew: true})
		if err != nil || !renewed.Server.Equal(tgt.Server) || renewed.EndTime.Before(tgt.EndTime) || string(renewed.Key.Value) == string(tgt.Key.Value) {
			t.Errorf("renewed: until %v after %v, %v", renewed.EndTime, tgt.EndTime, err)
		}
		plain, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.TGS(ctx, plain, TGS(r.name, r.name), TGSOptions{Forwarded: true})
		wantError(t, err, "KDC can't fulfill requested option", -1765328371)
	})

	t.Run("clock", func(t *testing.T) {
		ahead := func() time.Time { return time.Now().Add(time.Hour) }
		c := &Client{Profile: r.profile(""), Now: ahead}
		tgt, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{})
		if err != nil {
			t.Fatalf("with kdc_timesync: %v", err)
		}
		if off := tgt.Offset + time.Hour; off.Abs() > time.Minute {
			t.Errorf("offset %v, want one hour back", tgt.Offset)
		}
		if _, err := c.TGS(ctx, tgt, r.host("server.test.example"), TGSOptions{}); err != nil {
			t.Errorf("TGS by the learnt offset: %v", err)
		}
		c.Profile = r.profile("[libdefaults]\nkdc_timesync = false\n")
		_, err = c.AS(ctx, alice, Password("alicepw"), ASOptions{})
		wantError(t, err, "Clock skew too great", -1765328347)
		_, err = c.AS(ctx, r.user("bob"), Password("bobpw"), ASOptions{})
		wantError(t, err, "Clock skew too great in KDC reply", -1765328236)
	})

	t.Run("transports", func(t *testing.T) {
		var networks []string
		c := &Client{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			networks = append(networks, network)
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}
		for want, conf := range map[string]string{
			"udp udp": "",
			"tcp tcp": "[libdefaults]\nudp_preference_limit = 1\n",
		} {
			networks, c.Profile = nil, r.profile(conf)
			if _, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{}); err != nil {
				t.Errorf("%q: %v", conf, err)
			}
			if got := strings.Join(networks, " "); got != want {
				t.Errorf("%q: went over %s, want %s", conf, got, want)
			}
		}
	})

	t.Run("canonicalisation", func(t *testing.T) {
		// MIT's database knows no aliases, but must not mind being asked.
		if _, err := c.AS(ctx, alice, Password("alicepw"), ASOptions{Canonicalize: true}); err != nil {
			t.Error(err)
		}
	})

	t.Run("nothing prints a key", func(t *testing.T) {
		js, err := json.Marshal(tgt)
		if err != nil {
			t.Fatal(err)
		}
		enc, _ := json.Marshal(tgt.Key.Value)
		for _, s := range []string{fmt.Sprintf("%v %+v %#v %x %s", tgt, tgt, tgt, tgt.Key, tgt.Key), string(js), fmt.Sprintf("%v %#v", Password("alicepw"), Keys(tgt.Key))} {
			for _, secret := range []string{string(tgt.Key.Value), fmt.Sprintf("%x", tgt.Key.Value), fmt.Sprint(tgt.Key.Value), string(enc), "alicepw"} {
				if strings.Contains(s, secret) {
					t.Errorf("secret is printed in %.60q...", s)
				}
			}
		}
	})
}

func TestUDPTooBig(t *testing.T) {
	r := newMITRealm(t, "BIG.EXAMPLE", "")
	// A KDC whose UDP replies may be 100 bytes long answers each with
	// KRB_ERR_RESPONSE_TOO_BIG.
	r.write("kdc.conf", strings.Replace(readFile(t, filepath.Join(r.dir, "kdc.conf")), "[kdcdefaults]\n", "[kdcdefaults]\n kdc_max_dgram_reply_size = 100\n", 1))
	r.admin("addprinc -pw alicepw +requires_preauth alice")
	r.serve()
	var networks []string
	c := &Client{Profile: r.profile(""), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		networks = append(networks, network)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	if _, err := c.AS(t.Context(), r.user("alice"), Password("alicepw"), ASOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(networks, " "); got != "udp tcp udp tcp" {
		t.Errorf("went over %s", got)
	}
}

func wantError(t *testing.T, err error, text string, minor int32) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", text)
		return
	}
	if !strings.HasPrefix(err.Error(), text) {
		t.Errorf("error %q, want %q", err, text)
	}
	var m interface{ Minor() int32 }
	if !errors.As(err, &m) || m.Minor() != minor {
		t.Errorf("%v: minor status is not %d", err, minor)
	}
}
