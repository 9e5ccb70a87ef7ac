// Package policy is who may do what in which group of a push server, from a file
// that is read again when it changes. A [Policy] has what the Config and the Hub
// of package push ask for.
//
// # The file
//
//	# groups, beside those of the command line
//	group 1 "R&D Department"
//
//	# who may subscribe, who may publish, who is subscribed on arrival
//	read    1,3 *@EXAMPLE.COM
//	publish 1,2 alice@EXAMPLE.COM */admin@EXAMPLE.COM
//	publish *   backup/*@EXAMPLE.COM
//	arrive  1,3 *
//
// A line has words, parted by blanks; what begins with # is a comment. Behind
// read, publish and arrive come the groups, by number, or * for all, and then
// principals. What no line allows is not allowed: a file that allows nobody
// anything is refused, as it is most likely half written. arrive gives no right: a
// client is subscribed to those of the groups that it may read.
//
// A principal is written as Kerberos writes it, with a backslash before a / or @
// that belongs to a component, and \n \t \b \0. A * stands for any number of
// characters of one component, or of the realm, as in the kadm5.acl of MIT's
// kadmind but not only for a whole one; \* is the star itself. So *@EXAMPLE.COM
// is alice@EXAMPLE.COM, and not alice/admin@EXAMPLE.COM. A * alone is everybody.
//
// A word with blanks or a # is put in quotes; a backslash takes the character
// behind it with it there, too.
package policy
