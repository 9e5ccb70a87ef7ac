// Package krb5 is the Kerberos V5 mechanism of package gss: RFC 4121 over
// RFC 4120, both roles, enctypes 17 to 20.
//
// # How the data flows
//
// A [Credential] is acquired from a keytab, a credential cache or a password.
// An [Initiator] takes the service ticket for its target from the credential's
// cache, or gets one from the KDC and stores it there; this is all the I/O
// there is, and it is done before the first token. An [Acceptor] finds the
// ticket's key in its credential's keytab and asks its replay cache whether the
// authenticator was seen before. Both end in the same context type, whose
// per-message keys are derived once.
//
//	Profile (krb5.conf) ─┐
//	Cache, Keytab ───────┼→ Credential → Initiator / Acceptor → gss.Context
//	KDC exchange ────────┘                     (handshake)      (wrap, mic, seqwindow)
//
// Where the initiator reaches no KDC, an [IAKERBInitiator] sends its requests to
// an [IAKERBAcceptor] in context tokens. That one's Step asks the KDC, the one
// exception to what is said of I/O.
//
// What the ticket says of the client beside its name, such as its groups in a
// domain, is in the attributes of gss.Info, and typed in [PACOf].
//
// The parts with a life of their own are in internal packages: etype (crypto
// profiles), kmsg (messages), keytab, ccache, rcache, krb5conf, pac and kdc. Of
// these kdc uses gokrb5 for AS and TGS exchanges, and pac for NDR.
//
// # What is refused
//
// DES, triple DES, RC4 and Camellia tickets and keys are refused by name.
// Anonymous initiators, user-to-user and mutual authentication without a
// per-message key are not offered.
//
// Not done for now: constrained delegation (S4U2Self, S4U2Proxy), FAST (RFC
// 6113), PKINIT (RFC 4556) and KDC proxies (MS-KKDCP; a realm whose KDCs are
// listed as URLs alone is refused by saying so). A ticket that kinit got by FAST
// or PKINIT is as good as any other.
//
// # FIPS 140-3
//
// Under GODEBUG=fips140=on everything works. Under fips140=only the enctypes 19
// and 20 (AES with SHA-2) do, with credentials, delegation and all per-message
// services. The enctypes 17 and 18, which need SHA-1, are then refused by name,
// as if krb5.conf did not permit them, and contexts with channel bindings, which
// RFC 4121 identifies by MD5, are an error. Go has neither mode in programs that
// are built with the tag purego.
package krb5
