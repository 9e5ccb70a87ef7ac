// Package handshake does handshakes in the background, for programs that accept
// connections themselves: starting one returns at once, and how it ended is
// delivered to a bounded number of workers. A peer that is slow, silent or asking
// its user for a certificate holds up nobody.
//
// # How the data flows
//
//	accept loop ─ Pool.Accept(conn, value) ─→ pending ──→ finished ─→ worker: Complete(Completion)
//	                    │                  (bound, deadline)  (queue)   (Workers at once)
//	                    └─ ErrBusy: too many pending
//
// It knows no protocol: whatever has a HandshakeContext method will do, such as
// the connections of package tlspolicy and of crypto/tls, on either side.
// Package server needs none of this: there each session has a goroutine.
package handshake
