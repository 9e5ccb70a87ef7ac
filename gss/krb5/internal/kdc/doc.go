// Package kdc gets tickets: it carries messages to the KDCs of a realm and
// back, and runs the AS and TGS exchanges of RFC 4120 over that.
//
// [Client.AS] turns a password or long-term keys into a [Ticket], usually a
// ticket-granting one, and [Client.TGS] turns that into a ticket for a service,
// following referrals through other realms. Both build a request, give it to
// [Client.Exchange], and check what comes back against it. Exchange finds the
// realm's KDCs in the configuration or DNS, and asks them in order, over UDP or TCP,
// not waiting long for any of them. With [Client].Relay somebody else carries
// the messages.
//
// Messages of the KDC's are encoded and decoded by gokrb5, but not encrypted; its
// network code, its configuration parser, its clock and its choice of
// pre-authentication are not used either. Everything that a KDC sends counts as
// hostile: outer shapes are checked here before gokrb5 sees them, and its calls run
// behind a fence that turns a panic into an error.
package kdc
