// Package server is the engine of the daemons: it accepts connections, bounds
// them in number and time, drains them when it is told to stop, and logs how
// each one ended. It knows nothing of what is said on a connection; that is a
// [Service]'s, such as package sign below this one.
//
// # How the data flows
//
//	Server.Run ─ accept ─→ Session ─ transport's handshake ─→ Service.Serve
//	    │   (bound, back-off)  │ Read, Write: deadlines of the session's stage
//	    │                      │ Established, Done: which stage it is in
//	    └─ drain ──────────────┘ idle sessions at once, the others after their exchange
//
// The goroutines of a crew take turns: who accepts a connection leaves the listener
// to another and serves the connection itself, unless it is the only one. Then
// nobody need wake up to wait for the next one, which package tcp below this one
// sees to.
//
// Transports are listeners: the connections of tlspolicy's, of dtls's, or of
// crypto/tls's, are served like those of TCP. A [Listener] names a service for its
// connections. What a transport knows of the peer, such as the verdict on its
// certificate, a service asks [Session.Conn] for.
//
// So there is one set of bounds for all transports, one count of connections,
// one log and one drain: whatever a session is carried by, it is a session of
// this server. A transport of datagrams has them too, for a peer that has shown
// its address is a connection; before that there is nothing to count.
//
// When there are as many connections as there may be, a newcomer takes the place
// of the oldest session that is not established: connections that say nothing,
// which cost their owner nothing, keep nobody out for longer than it takes to be
// the oldest. When all are established the newcomer is refused. Sessions of
// datagrams are no exception, beyond the limits of their own handshakes.
//
// A session's stages are the handshake, waiting for a message, and the message
// and its answer. Each has its own time limit, and all of a handshake its limit
// in bytes, since nobody knows yet who sends them.
package server
