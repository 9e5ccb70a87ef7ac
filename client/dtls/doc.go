// Package dtls is the client of package server/dtls: it sends messages over
// DTLS 1.2 with a pre-shared key and compares what comes back.
//
// Datagrams get lost. A message whose answer does not come is sent again until
// the time limit is over, so a server can see it more than once.
package dtls
