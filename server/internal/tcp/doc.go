// Package tcp gives a server TCP connections that cost it less while they wait
// than those of package net, and behave the same otherwise.
//
// # Deadlines
//
// A session moves its deadline with every message. In package net that moves a
// timer of the runtime, and where it moves to an earlier time a thread has to be
// woken to see it. A [Conn] notes its deadlines and leaves the timer where it is
// as long as that is no later than the deadline: one that goes off too early is
// set anew.
//
// # Waiting
//
// The runtime has one thread wait for whatever comes on any connection and others
// serve it. With many connections nothing is better. A server that has one at a
// time pays for it: two or three threads wake for each message, look for work and
// go to sleep, at more than the cost of the message itself. So as long as a
// connection is the only one, and its server says so by [Conn.Alone], its
// goroutine waits in the kernel by itself, as a C program would: for the
// connection and the listener together, with both outside of the runtime's poller.
//
//	Accept ─→ Conn ─ Alone ─→ Read, Write: epoll(connection, listener)
//	  ↑                                        │ another connection comes, or
//	  └──────────── crowd ←────────────────────┘ somebody wants something
//
// One that has read a few times is just read, for milliseconds at a time, and
// others are looked after in between.
//
// That ends, and both are the runtime's again, as soon as another connection
// comes; a goroutine that is not the connection's own closes it or sets its
// deadline; or its own does something else for longer than [patience], when nobody
// would see another connection come. It begins anew when connections have come one
// at a time for a while.
//
// A goroutine that waits so keeps one of the runtime's processors from other work
// until the runtime takes it away, so fewer connections are alone, of all listeners,
// than there are processors. On systems other than Linux none is.
package tcp
