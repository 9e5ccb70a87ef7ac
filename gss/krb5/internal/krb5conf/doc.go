// Package krb5conf reads Kerberos configuration files by the rules of MIT's
// profile library, and answers the questions that a Kerberos library has of
// them: typed settings with MIT's defaults, the KDCs of a realm, the realm of
// a host, the local account of a principal, the canonical names of a host.
//
// The data flow in one direction: [Load], [LoadDefault] or [Parse] read files,
// with their include and includedir lines, into a [Profile], a tree of
// sections and relations which never changes afterwards. [Profile.Values]
// gives raw access to it, and everything else is an interpretation on top.
//
// What is deliberately not MIT's: a line may have any length up to the file's
// limit, a UTF-8 byte order mark is skipped, a value of [libdefaults] that
// cannot be understood is an error which names its file and line, where the C
// library mostly takes the default or false without a word.
package krb5conf
