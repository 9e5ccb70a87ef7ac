// Package kmsg reads and writes the Kerberos V5 messages that a GSS-API
// mechanism exchanges with its peer: AP-REQ, AP-REP, KRB-ERROR, KRB-CRED, and
// what is encrypted inside them (RFC 4120, sections 5.2 to 5.9).
//
// Each message is a struct. ParseX takes the whole DER of one message and
// nothing behind it, and gives the struct; its Append method writes the same
// DER behind the bytes of the caller's buffer, so that an encrypted part can be
// built, and then encrypted, where it will be sent from:
//
//	ticket's DER ──────────────────────────┐
//	Authenticator ──Append──▶ encrypt ──▶ APReq ──Append──▶ token
//	token ──ParseAPReq──▶ decrypt ticket ──▶ ParseEncTicketPart
//	                  └─▶ decrypt authenticator ──▶ ParseAuthenticator
//
// Encryption, clocks and checks of meaning (times, names, flags) are the
// caller's.
//
// # What is accepted
//
// DER only: definite and minimal lengths, minimal integers, fields in the
// order of their tags, no bytes left over at any level. Integers must fit their
// type, microseconds lie in 0..999999, times are YYYYMMDDHHMMSSZ. Strings are
// bytes: KerberosString is ASCII on paper, but UTF-8 and Latin-1 are in use, so
// a Go string holds exactly the bytes that came. A few things are read as MIT
// krb5 reads them although RFC 4120 has them otherwise: key version numbers and
// sequence numbers may come as negative 32-bit integers.
//
// # Memory
//
// Byte slices in a parsed struct (ciphertexts, keys, checksums, addresses,
// authorization data, raw tickets) alias the parser's input: they cost nothing
// and live, and change, with it. Strings are copies. The number of elements of
// each list is bounded (see MaxComponents and its neighbours) and the memory
// taken is proportional to the input's length.
//
// Values are plain data: safe for concurrent reading, not for concurrent
// writing. Nothing in the package keeps state.
package kmsg
