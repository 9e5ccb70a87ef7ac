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
//
// More generous than MIT's, to which it is a string and so the realm unknown, is
// a subsection on one line, relations and subsections side by side:
//
//	EXAMPLE.ORG = { kdc = kdc1.example.org kdc = kdc2.example.org:750 v4 = { } }
//
// A value is one word there, or quoted; braces in pairs belong to the word. A
// star and a comment may follow the closing brace. What begins so and does not
// end so is an error. A value in braces that does not begin with a tag and an
// equals sign, such as "{ 1 2 840 }", remains a string.
package krb5conf
