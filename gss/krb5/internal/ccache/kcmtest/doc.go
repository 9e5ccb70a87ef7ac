// Package kcmtest runs KCM daemons for tests: one of its own that speaks as sssd's or as Heimdal's does, and Heimdal's where
// that is installed. Both keep everything in memory and serve whoever can reach their socket.
//
// # How the data flows
//
//	package ccache ─→ socket: length, request ─→ the daemon's caches, in memory ─→ length, status, reply
package kcmtest
