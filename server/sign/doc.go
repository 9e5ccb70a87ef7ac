// Package sign is the sign service of the GSS-API sample programs: a client
// establishes a context, sends messages, and gets back the MIC of each as proof
// that this very message was received and read.
//
// # How the data flows
//
//	Session ─→ token.Conn ─ first frame ─┬─ version 2: greeting ─→ gss.Accept ─→ DATA: unwrap, print, MIC or NOOP
//	                                     └─ version 1: the first context token ─→ gss.Accept ─→ unwrap, print, MIC
//
// Both framings come to one port and are told apart by the first byte. In
// version 2 a frame's flags say how the message is protected and whether a MIC
// is wanted, and NOOP ends the session. In version 1 every message is wrapped,
// every answer is a MIC, and the end of the stream ends the session.
//
// # What is printed
//
// The lines that MIT's gss-server prints go word for word to Config.Output, those
// of one event in one Write, so that the lines of two sessions never mix. Messages
// come from whoever is connected: text is printed as it is, with its line ends,
// and anything with a control character in it as a hex dump. Log records are the
// session's own and say the same in fields.
package sign
