package push

import (
	"context"
	"errors"
)

// A Bus joins Hubs to one audience. It carries what one of them gives it to the
// others, never back to the same. It may lose messages; those of one Hub that
// arrive, arrive at another in the order in which they were given. Its methods
// may be called by many goroutines, and do not block but for Send. A Hub holds
// locks meanwhile, so none of them may wait for the [Receiver]. Messages that a Bus is
// given are not changed afterwards.
type Bus interface {
	// Join connects a Hub, once, before anything else. receive is told what comes
	// from then on.
	Join(receive Receiver) error

	// Want says whether what others publish to the group, or send to the
	// user, is wanted from here on. What comes beside that does no harm.
	WantGroup(group uint32, wanted bool) error
	WantUser(user User, wanted bool) error

	// Publish gives an encoded publication to all that want one of the groups.
	Publish(groups []uint32, msg []byte) error

	// Send gives an encoded message to all that want the user's, and returns how
	// many sessions one of them had for it, the one that answered first. It
	// is [ErrNobody] if nobody wants it or nobody has a session; another
	// error says that it is not known.
	Send(ctx context.Context, user User, msg []byte) (receivers int, err error)

	// Announce gives an encoded message to all.
	Announce(msg []byte) error

	// Close ends it. Nothing is received afterwards.
	Close() error
}

// A User is whom a message is for: a principal, or whoever stands for a local user.
type User struct {
	Name  string
	Local bool // Name is a local name
}

// A Receiver is told what comes by a [Bus]. It is called by one goroutine at a
// time, keeps nothing of what it is given, and does not block.
type Receiver interface {
	Published(msg []byte) // by another Hub

	// Sent is of a message to a user who may be here: [ErrNobody] if not. A
	// user whose sessions' queues are all full is here, and gets none.
	Sent(user User, msg []byte) (receivers int, err error)

	Announced(msg []byte)
	Interrupted() // messages may have been lost; what comes next says which
}

// ErrNobody says that there is no session of a user.
var ErrNobody = errors.New("push: nobody of that name is connected")
