// Package ccache reads and writes credential caches as MIT's library does, and may share them with it.
//
// A name goes through a [Resolver] and gives a [Store]: "FILE:/path" or a bare path; "MEMORY:name" (shared by the process under
// that name; [NewMemory] makes one without); "DIR:dir", "KCM:" and "KEYRING:anchor:collection" (the primary cache of a
// collection), and "DIR::dir/tktX", "KCM:name" and "KEYRING:anchor:collection:name" (one of its caches). [Resolver.Collection]
// gives all of them, [Resolver.New] one more. [Store.Load] reads the
// whole as a [Cache], a plain value in memory in which [Cache.Find] picks a credential; [Store.Append] adds one for every
// other program to see, [Store.Remove] takes some away, [Store.Replace] starts afresh.
//
// A file's format is that of MIT's "credential cache file format" document: versions 1 to 4 are read and appended to, version
// 4 is written. KCM daemons (sssd's and Heimdal's) are asked over their socket in the language that MIT's library speaks, and
// the Linux kernel's keyrings have its layout; both hold principals and credentials in the form of a version 4 file.
// KEYRING is for Linux only. The types API (macOS) and MSLSA (Windows) are not supported, and Open says so.
package ccache
