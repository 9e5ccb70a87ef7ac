// Package ccache reads and writes credential caches as MIT's library does, and may share them with it.
//
// A name goes through [Open] and gives a [Store]: "FILE:/path" or a bare path, "DIR:dir" (its primary cache), "DIR::dir/tktX",
// "MEMORY:name" (shared by the process under that name); [NewMemory] makes one without a name. [DefaultName] says which
// name a user means who says none. [Store.Load] reads the whole as a [Cache], a plain value in memory in which
// [Cache.Find] picks a credential; [Store.Append] adds one for every other program to see, [Store.Remove] takes some away,
// [Store.Initialize] and [Store.Replace] start afresh.
//
// The format is that of MIT's "credential cache file format" document: versions 1 to 4 are read and appended to, version 4
// is written. The types KEYRING, KCM, API and MSLSA are not supported yet, and [Open] says so.
package ccache
