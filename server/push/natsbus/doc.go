// Package natsbus joins servers of the push service by NATS: a [Bus] is the
// [push.Bus] of one of them. NATS itself is whatever cluster the operator has.
//
// # Subjects
//
// All begin with the prefix ("countersign.push", or as configured) and a version:
//
//	countersign.push.v1.group.7       a publication to group 7 alone
//	countersign.push.v1.groups        a publication to several groups
//	countersign.push.v1.all           presence, beacons
//	countersign.push.v1.user.HASH     a message to a principal
//	countersign.push.v1.local.HASH    a message to a local user
//	countersign.push.v1.reply.ID.N    the answers to request N of server ID
//
// HASH is the SHA-256 of the name, in hexadecimal:
//
//	printf %s alice@EXAMPLE.ORG | sha256sum
//
// So whatever is in a name, no subject but its own comes of it, and it is as long as
// any other. The name in full is in the message; one that came by another name's
// subject is dropped. A server listens to "groups" and "all", its replies, and
// the groups and users that it has.
//
// # Who may use NATS
//
// Whoever can publish to these subjects is believed: it can say that anybody
// published anything. So no NATS port is ever a user's: users speak to the servers of
// the push service alone, and NATS lets nobody but these to the subjects, by a firewall
// and by permissions. A server needs to publish and to subscribe to
//
//	countersign.push.v1.>
//
// and nothing else; it says at once when it may not. With tls:// NATS is known by its
// certificate and nobody reads or writes on the way; with nats:// whoever is there
// does, and reads a password, too. What comes is taken for hostile all the same: it is
// bounded, parsed strictly, and no subject that a message names is used unless it
// is that of a reply.
//
// # What is lost
//
// NATS delivers at most once, and so does a Bus: nothing is kept for a server
// that is not connected, and nothing is sent later that could not be sent at once. A
// lost connection is made anew for as long as it takes, to any of the servers
// named, and the Hub is then told that it was interrupted; so it is if more
// comes than it takes. A partition between NATS servers is not noticed here: Hubs
// see it by the numbers of what comes afterwards.
//
// # Goroutines
//
//	NATS ─→ nats.go ─→ pump ─→ queue ─→ dispatch ─→ Receiver
//	                      └─→ answers to Send
//	NATS ←─ nats.go ←─ run  ←─ queue ←─ Publish, Send, WantGroup, ...
//
// All that comes is taken in one order, whatever its subject, and told by one
// goroutine. Only Send waits for anything.
package natsbus
