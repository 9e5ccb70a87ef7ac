// Package push is the client's side of the push service: it subscribes to
// groups, publishes, sends to users, has messages signed, and stays connected.
//
// # How the data flows
//
//	Config ─ Dial ─→ Client ─ Publish, Send, Sign, ... ─→ Request ─→ writer ─→ server
//	                   │          (any number under way)    │ Wait, or a callback
//	                   │                                    └──────── Result ←─ reader
//	                   ├─ Events: published, sent, entered, left, lost, connection ←─ reader
//	                   └─ keeper: heartbeat, back-off, new ticket, subscribe again
//
// A [Client] is a session that comes back: when the connection is lost it dials
// again, with longer and longer pauses, gets a new ticket where that is needed,
// subscribes again to what it was subscribed to, and tells by [Events.Lost] what
// may have been missed in the meantime, for it knows how far every server had come
// in every group (see [pushwire.Position]). A request whose result was under way is not
// repeated: it fails with [ErrInterrupted], and nobody knows whether it was done.
//
// A [Batch] is several requests that leave together. A [Pool] is several
// sessions, of which the least busy or one for one's own use is taken.
//
// Callbacks are called by one goroutine, one at a time and in the order in which
// things came; one that takes long holds up those that follow, and at last
// the server.
package push
