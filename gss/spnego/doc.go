// Package spnego is the negotiation mechanism of RFC 4178 for package gss: two
// sides that may have several mechanisms agree on one, and nobody between them
// can talk them into a worse one. It knows no mechanism; those to choose from
// are passed in.
//
//	mech, err := spnego.NewInitiator(kerberos, another) // most wanted first
//	sec, err := gss.Initiate(ctx, conn, mech, gss.Request{Target: gss.HostService("host@server.example")})
//
// # How the data flows
//
// [Initiator.Initiate] prepares a context of each mechanism, so that Step needs
// no I/O whichever is chosen. The first token carries the list of mechanisms
// and, without waiting, the preferred mechanism's first token. The acceptor
// takes the first mechanism of that list that it has:
//
//	initiator                                    acceptor
//	NegTokenInit{list, token of the first}  ──→  the first one it is: the token counts
//	                                        ←──  NegTokenResp{state, mechanism, token}
//	NegTokenResp{token} ... (mechanism's tokens until its context stands)
//	                                             another one: the token is dropped,
//	                                        ←──  NegTokenResp{request-mic, mechanism}
//	NegTokenResp{token} ... (mechanism's tokens, then a MIC of the list each way)
//
// token.go is the wire form, initiate.go and accept.go are the two roles, mic.go
// is what protects the list, context.go joins them to [gss.Context]. Once the
// context stands every per-message call is the mechanism's own, and Inquire
// names that mechanism, as MIT's gss_inquire_context does. An exported context is
// the mechanism's, too, and imported by it.
//
// # Downgrade protection
//
// Both sides exchange MICs over the list exactly as it was sent when the
// mechanism is not the initiator's first choice, or when the acceptor asks for
// it. When both took the first choice the exchange is optional, and neither
// role begins it (RFC 4178, section 5 and appendix C); a peer's MIC is verified
// all the same. An acceptor has no preferences of its own: the initiator's order
// decides, so a first choice taken is the first choice of both. A mechanism
// without integrity protection has no MICs: that is the RFC's limit. An
// initiator with more than one mechanism therefore asks each for
// [gss.Integrity].
//
// # What is tolerated
//
// The encoding is DER and its fields come in their order. Tolerated, because
// peers are known to send it, are:
//
//   - a bare token of one of the acceptor's mechanisms, without negotiation
//     (Windows and Java send a Kerberos AP-REQ so, DCE style one without any
//     framing): the context is then that mechanism's, to the end;
//   - the mechanism 1.2.840.48018.1.2.2, Kerberos with a bit lost, which Windows
//     lists first and Samba answers with: it is Kerberos, and an acceptor answers
//     with the one that it took from the list;
//   - NegTokenInit2 of MS-SPNG, with negHints, to either side, and reqFlags of
//     RFC 2478: both are read over;
//   - a first NegTokenResp without state or mechanism (old Java acceptors), and
//     an empty responseToken (old IIS);
//   - a mechListMIC that repeats the responseToken (Windows 2000): it is no MIC;
//   - an unsolicited mechListMIC beside accept-completed (Windows): it is
//     verified, and not answered, as that acceptor awaits nothing.
//
// An acceptor's second choice without request-mic is refused, as by MIT's
// library: Java's acceptors make it so, by RFC 2478, and send no MIC either.
// NegoEx, and NTLM's special rules for the MIC, are not implemented.
package spnego
