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
package krb5
