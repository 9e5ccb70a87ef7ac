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
// was missed in the meantime, for it knows how far every server had come
// in every group (see [pushwire.Position]). Another server may know less of the others
// than the last one did: what it hears later is then told later. Only where a server
// crashed, or cannot be heard, what it published last is not known, and [Loss]
// says so. What was sent to the user alone has no position: after a connection that did
// not end in order, by the server's word that all was said, [Loss] says that some may be
// missing. A request whose result was under way is not repeated: it fails with
// [ErrInterrupted], and nobody knows whether it was done.
//
// A context has an end, after which nothing that comes could be read. Shortly before,
// with a tenth of its life left and a minute at the most, the client gets a new
// ticket and context, ends the old connection in order, taking all that the server had
// for it, and goes on with the new one. Where there is no new ticket it keeps the old
// connection and tries again nearly until the end, and ends it in order then, too.
// What is published between the two is told as lost, and a message to the user is refused
// to its sender, as nobody is there.
//
// # Requests
//
// Up to 256 requests are under way at once; what is beyond waits, in [Client.Publish]
// and its like for room, in a [Batch] that was committed for its turn. Requests made
// while there is no connection wait for the next. Those that are under way
// when it goes are not repeated (see above).
//
// A [Batch] is several requests that leave together. A [Pool] is several
// sessions, of which the least busy or one for one's own use is taken.
//
// # Callbacks
//
// Callbacks are called by one goroutine, one at a time and in the order in which
// things came; one that takes long holds up those that follow, and at last
// the server. One may make requests, wait for their results, and close the
// client; [Events] says how.
//
// # What a server can do
//
// It can say what it likes, and is believed nothing that the protocol does not allow:
// a message at the wrong time, a result of no request, a MIC that does not
// verify end the connection with a [*ProtocolError]. It can have the client hold
// a frame, the queue of events, and 65,536 positions, and no more.
package push
