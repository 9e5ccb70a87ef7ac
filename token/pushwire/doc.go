// Package pushwire is what clients and servers of the push service say to each
// other, and servers among themselves: version 1 of the encoding, and a [Conn]
// that carries it inside the wrapped tokens of an established security context.
//
// # How a connection goes
//
//	client                                   server
//	frame NOOP|CONTEXT_NEXT        ─→
//	frames CONTEXT                ←─→        the context stands
//	token 0: Hello                 ─→
//	                               ←─        token 0: Welcome, perhaps Joined
//	Subscribe Leave Publish Send   ─→
//	Sign Wait Ping                 ←─        Result, for each request one
//	                               ←─        Publication Direct Presence Lost
//	                                         Joined Removed Groups, when there is cause
//	Bye                           ←─→        Bye: whoever ends it says so
//
// The framing is version 2 of package token. Every frame after the context has
// exactly the flags DATA, WRAPPED and ENCRYPTED and holds one token of GSS_Wrap
// with confidentiality; nothing of the service travels outside of these. The
// context has mutual authentication, confidentiality, integrity and replay
// detection, and no sequencing: a MIC inside of a token would be out of sequence.
// A client that asks for sequencing gets a Bye where the Welcome is due.
//
// # A token
//
// The message in a token is
//
//	number(8) | message*
//	message:  kind(1) | length(3) | body(length)
//
// with all integers big endian. number counts the tokens of one direction from
// 0; any other than the next one ends the connection, so nothing can be lost,
// repeated or reordered on the way. It is this number that sees to that, and
// not the sequence numbers of the context: a MIC inside of a wrapped token was
// made before the token and is verified after it. For the same reason a token
// has at most [MaxMICs] of them: a mechanism remembers only so many numbers back.
//
// The first message of the client is [Hello], which begins with the name of
// this protocol, so that a context made for another service of the same key
// cannot be passed on to this one. Bodies are in the comments of the message
// types; list stands for length(2) and the elements, text and name for
// length(2) and as many octets. A message with octets left over, a kind that is
// not known, and a list without elements where one is needed are errors.
//
// # Who and where
//
// The principals in messages are those of the peers' contexts; the servers put
// them there. A [Publication] carries the server at which it was published, its
// [Origin], and a sequence number for every one of its groups, by origin and group
// without a gap. So whoever knows a [Position] can tell what it missed. A client that
// subscribes is told all those that its server knows of, and, by a [Lost] with a [Gap] of
// none, those that it did not: from there on the gaps say everything that did not come.
package pushwire
