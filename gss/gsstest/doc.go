// Package gsstest runs a Kerberos realm inside the process, for tests and
// demonstrations, in the manner of net/http/httptest. It is for development
// only: its database is in memory, it keeps no replay cache, it listens on the
// loopback interface alone, and it hands out keys and forged tickets to whoever
// holds the [Realm].
//
//	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
//	defer realm.Close()
//	err = realm.AddUser("alice", "secret")
//	err = realm.AddService("host/localhost")
//	conf := realm.Krb5Conf()                    // for KRB5_CONFIG
//	keytab, err := realm.Keytab("host/localhost") // for KRB5_KTNAME
//	cache, err := realm.CCache("alice")         // for KRB5CCNAME, without kinit
//
// Nothing is written to disk; the caller puts the bytes where its programs look
// for them.
//
// # How a request flows
//
// listen.go reads a datagram or a length-prefixed record and hands it to
// answer (request.go), which holds the only fence against panics. Its shape is
// checked (shape.go), gokrb5 decodes it, and as.go or tgs.go carries out the
// exchange of RFC 4120, sections 3.1 and 3.3. Both end in seal (ticket.go),
// which [Realm.MintTicket] shares, so a ticket minted for a hostile test
// differs from an honest one only in what the test asked for.
//
// # Why gokrb5
//
// Messages and cryptography are gokrb5's on purpose, not this module's own:
// whatever our initiator sends is read here by code written by somebody else,
// and whatever is issued here is read there by ours. Had both ends one encoder,
// its mistakes would cancel out in every hermetic test. The package imports
// nothing else of this module for the same reason.
//
// # What is left out
//
// Cross-realm referrals, user-to-user tickets, postdating, constrained
// delegation, PKINIT, FAST, DES, RC4 and the kadmin and kpasswd services. The
// canonicalize option and unknown pre-authentication types are ignored, as
// RFC 4120 has it.
package gsstest
