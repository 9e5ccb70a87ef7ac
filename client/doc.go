// Package client is the initiator's side of the sample protocol that MIT
// Kerberos and the Java GSS tutorials speak: a message goes out protected, its
// MIC comes back and is verified.
//
// # How the data flows
//
//	Config ─ Dial ─→ service ticket ─→ connection ─→ context ─→ Session
//	            (gss.Initiator)     (net.Dialer,  (gss.Initiate)   │
//	                                 crypto/tls)                   │
//	  Session.Sign: message ─ Wrap ─→ one frame ─→ server          │
//	       verified MIC ←─ VerifyMIC ─ frame ←───── server   Session.Close
//
// A [Session] is one connection with one security context. Its buffers are
// those of package token, so that signing allocates nothing in steady state.
//
// With [TLS] in the config the connection is a TLS one, and the context is bound
// to it. [Connect] and [Echo] do without a context, to try a transport.
//
// [Establish] gives connection and context for another service; package push below
// this one is the client of such a one.
//
// Package load below this one drives many sessions at once and measures them.
package client
