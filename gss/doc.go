// Package gss is the mechanism-neutral part of the GSS-API (RFC 2743) in Go's
// manner: object identifiers, names, flags, status, channel bindings, and the
// security context that a mechanism establishes between an initiator and an
// acceptor.
//
// # How the data flows
//
// A mechanism comes in two halves. An [Initiator] holds the credential of the
// side that speaks first, an [Acceptor] that of the side that answers. Each
// makes any number of contexts. A [Context] is a state machine that takes
// tokens and gives tokens and does no I/O: whatever needs the network, such as
// fetching a ticket, happens in [Initiator.Initiate], before the first token
// and under a context.Context.
//
//	Initiator.Initiate(ctx, Request) ─→ Context ─ Step(nil) ──→ token ─→ peer
//	Acceptor.Accept(bindings) ───────→ Context ─ Step(token) ─→ token ─→ peer
//	                                     │
//	             established: MIC VerifyMIC Wrap Unwrap Inquire
//
// [Initiate] and [Accept] run the whole exchange over a [Carrier], two methods
// that send and receive one token. Whoever carries tokens another way (HTTP,
// SASL, LDAP, ssh) calls Step by hand.
//
// [Client] and [Server] put a context under any protocol that wants a net.Conn:
// a [Stream] establishes it by itself, in the framing of package token, and
// seals what is written. [TLSExporter] and [TLSServerEndPoint] give the channel
// bindings that tie a context to a TLS connection below it.
//
// Mechanisms are passed in; there is no registry. The Kerberos V5 mechanism is
// package krb5 below this one.
//
// # Errors
//
// Every failure of a mechanism is an [*Error]: the RFC 2743 major status, the
// mechanism's minor status and what caused it. The major status codes are
// errors themselves, so errors.Is(err, gss.ErrDuplicateToken) tells. A context
// that failed stays failed.
//
// # Concurrency
//
// An Initiator and an Acceptor may be used by many goroutines. A Context is
// stepped by one goroutine; once established its per-message calls may be made
// by many at once. A Stream's methods may be called by many at any time.
package gss
