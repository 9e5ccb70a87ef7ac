// Package rcache remembers which authenticators a service has seen, so that a copied AP-REQ is refused (RFC 4120, 3.2.3).
//
// What identifies an authenticator is its tag: the MAC at the end of its ciphertext, 12 bytes for the enctypes 17 and 18, 16
// for 19, 24 for 20. Nothing outside the encryption takes part, so nothing that an attacker can alter does. A [Cache] checks
// a tag and stores it in one step, under one lock, after the caller has decrypted the authenticator and found its time
// within the clock skew.
//
//   - [Memory] is for one process, and bounded.
//   - [File2] is MIT's file of that name, for every process of the host that uses the same file, MIT's library among them.
//   - "none:" remembers nothing.
//
// [Open] makes the one that a name such as KRB5RCACHENAME's asks for, [DefaultName] finds that name.
package rcache
