// Package peers lets tests talk to other implementations of the GSS-API: MIT's
// and Heimdal's libraries, behind a small C program, and Java's, behind a small
// Java one. The programs are below testdata/peers at the module's root; [Build]
// compiles one, and no more than a compiler and the library's development files
// have to be installed.
//
//	test ─ Build ──→ Program ─ Start ──→ Peer, a process
//	                                      ├ Initiator(mech) ─→ gss.Initiator
//	                                      └ Acceptor(mech, service) ─→ gss.Acceptor
//
// What a peer makes is a [Context]: a gss.Context whose calls are the other
// library's, so that a test written against the interfaces of package gss runs
// with a peer at either end. Requests and replies travel over the process's
// standard input and output; no socket is opened for them.
//
// [Peer.Record] keeps what was said, as a [Transcript] that [Replay] plays back
// later without the program.
package peers
