// Command gss-server serves the sign service of the GSS-API sample programs over
// Kerberos V5, on TCP and TLS, the push service beside it, and an echo to try a
// transport with. Its manual page says what it takes.
//
// # How the data flows
//
//	arguments ─→ options ─→ acquire: keytab → credential → acceptor ┬→ sign.Service ─┐
//	                │              policy.Policy, natsbus.Bus ──────└→ push.Service ─┤
//	                │                                                  echo.Service ─┤
//	                ├──→ endpoints ─→ listen, systemd's sockets, inetd's ────────────┼─→ server.Server
//	                └──→ tlsPolicy: key, client CAs, CRLs ─→ tlspolicy.Policy ───────┘
//
// Standard output has the lines that MIT's gss-server prints, standard error or
// the log file the log records. Under inetd both are the client's connection, so
// they are closed before anything else is done.
package main
