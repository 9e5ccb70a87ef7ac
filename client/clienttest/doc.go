// Package clienttest is the other end for tests of clients: a server of the
// sample protocol on a loopback port, honest or hostile in one chosen way, in
// the manner of net/http/httptest.
//
//	server, err := clienttest.NewServer(acceptor, clienttest.Honest)
//	defer server.Close()
//	session, err := client.Dial(ctx, client.Config{Addr: server.Addr(), ...})
//
// # How the data flows
//
//	connection ─→ token.Conn ─→ gss.Accept ─→ message: unwrap ─→ MIC, or what the chosen hostility makes of it
//
// It imports gss and token only. It has no bounds and no deadlines: it is no
// server for anything else.
package clienttest
