// Command gss-testkdc runs an embedded Kerberos realm for development and
// demonstrations. See package gsstest, which it wraps, and gss-testkdc --help.
//
// # How the data flows
//
//	arguments ─→ users, services ─→ gsstest.Realm ─→ krb5.conf, keytab, ccache in a directory
//	                                      └─→ KDC on loopback, until a signal ends it
package main
