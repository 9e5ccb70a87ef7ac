// Package push is the push service: clients subscribe to groups, publish to
// them, and send messages to users. Who a client is, its context says: a user is
// an authenticated principal, with as many connections as it likes, and no name
// that a client chose is believed anywhere.
//
// # How the data flows
//
//	server.Session ─→ Service.Serve ─ context ─→ member ─ requests, in order ─→ Hub
//	                                    ↑ queue (bounded) ←──── delivery ────────┤
//	                                    └─ writer: many messages, one token      │
//	                                                                            Bus
//	                                                         other servers' Hubs ┘
//
// A [Hub] knows the groups, the members of each, and the sessions of every user;
// a publication is encoded once and queued for all who get it. One goroutine of
// a session reads, and does what is done at once; another one writes, as long as
// something is queued: an idle session has none. What waits in its queue leaves
// in one token, so a client that falls behind is served by fewer and larger
// ones. A queue that is full takes nothing more; the client is told how many
// messages it lost, and one that does not take a token within the write time, however
// slowly, is cut off. Nobody waits for another's queue.
//
// Requests of a session are done in the order they came, so that what a client
// publishes stays in its order. One that takes long (it waits, asks a hook, or
// sends to a user who may be on other servers) has a third goroutine meanwhile, and
// those that come after it wait there; pushes and pings go round it. Many may be under
// way, up to a limit; beyond that nothing more is read.
//
// Numbers are given, and messages queued, under the locks of the groups concerned
// alone: so every member sees the numbers of a group rise one by one, and what a
// subscription's positions say is exactly what the queue goes on with. Nothing is
// written, and nobody asked, under a lock.
//
// # Servers together
//
// A [Bus] carries publications, messages to users and presence between Hubs; one
// that is alone needs none. It may lose messages, and never needs to repeat one:
// every Hub counts its publications by group (see [pushwire.Position]), the
// others see by the numbers what did not reach them, and by beacons what they
// would not have noticed, and say so to their clients. Beacons are of all groups, so
// that a Hub knows about how far the others are where nobody here is subscribed, too,
// and can tell who comes from another server how much it missed. When a first
// client has subscribed, the next word of another server is where the counting of what
// it publishes begins: what came before is nobody's loss who was not subscribed elsewhere.
// A server that is not heard for long, and did not say that it ends, may have published
// what nobody knows of: members are told that, too. A publication whose
// number was passed is not delivered again. Sub-package natsbus joins servers by NATS.
package push
