// Package keytab reads and writes MIT keytab files and finds keys in them by MIT's rules.
//
// A name ("FILE:/etc/krb5.keytab", or a bare path) goes through [Open], whose
// [File.Current] notices that an administrator replaced the file. What comes back is a [Keytab]: plain entries, in the
// order of the file. An acceptor tries every entry that may open a ticket; an initiator asks
// [Keytab.Client] for the newest keys of a principal. When nothing fits, [Keytab.Summary] says what is there.
//
// The format is that of MIT's "keytab file format" document: versions 0x0501 (read only; integers in this machine's byte
// order) and 0x0502.
package keytab
