// Package dtls is the echo client over DTLS 1.2 with a pre-shared key: it sends
// messages and compares what comes back, or takes the server's acknowledgement.
// Its server is an engine of package server with package server/dtls below it
// and server/echo above, or anybody else's.
//
// Datagrams get lost. A message whose answer does not come is sent again until
// the time limit is over, so a server can see it more than once.
package dtls
