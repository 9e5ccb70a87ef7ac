// Package etype holds the Kerberos encryption types that this module speaks,
// as crypto profiles in the sense of RFC 3961:
//
//	17  aes128-cts-hmac-sha1-96      RFC 3962
//	18  aes256-cts-hmac-sha1-96      RFC 3962
//	19  aes128-cts-hmac-sha256-128   RFC 8009
//	20  aes256-cts-hmac-sha384-192   RFC 8009
//
// Every other enctype is refused by [Lookup], by name and with what to do
// about it.
//
// # How the data flows
//
// A [Profile] comes from [Lookup]. From a protocol key and a key usage number
// it makes a [Cipher] (keys Ke and Ki) or a [Checksum] (key Kc): all key
// derivation happens there, once. Both are immutable from then on, so any
// number of goroutines may use one at the same time without a lock, and what a
// message needs beside them (a hash in progress, two blocks) comes from a pool
// shared by all keys of a profile. An idle Cipher takes 800 to 1,000 bytes, of which
// the AES key schedules are 480, an idle Checksum 200 to 500.
//
//	sealed = confounder(16) | plaintext, in AES-CBC with ciphertext stealing | MAC (12, 16 or 24)
//
// For enctypes 17 and 18 the MAC covers confounder and plaintext, for 19 and
// 20 a zero block and the ciphertext, and there it is verified before anything
// is decrypted.
//
// # Speed
//
// CBC is written out here, for three reasons. The standard library's CBC modes
// hold their IV, and so would serve one goroutine only or cost a copy of the key
// schedule a message. Hash and cipher, called in turns of one hash block,
// overlap in the processor's pipeline: with the SHA instructions, sealing 64 KiB
// takes a tenth to a quarter less time than encrypting the whole and then
// hashing it. And blocks to be decrypted do not depend on each other: on amd64
// a short piece of assembly decrypts eight at once, where the standard library
// goes block by block. Elsewhere [crypto/cipher.Block] does the same, and a fuzz
// test holds the two together.
//
// HMAC is written out over the standard library's hashes, see mac.go. Nothing is
// read or written twice, so a large message needs no memory beside its buffer.
//
// # FIPS 140
//
// With GODEBUG=fips140=on all four enctypes work. With GODEBUG=fips140=only,
// Go refuses SHA-1, so [Lookup] refuses enctypes 17 and 18; 19 and 20 work.
// The assembly rests in both; CBC with ciphertext stealing is then put together
// from the AES block function, and is thus not itself a service of Go's
// validated module.
package etype
