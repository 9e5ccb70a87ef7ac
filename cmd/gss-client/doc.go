// Command gss-client sends messages to a gss-server under a Kerberos security
// context and verifies the MICs that come back. See gss-client --help and the
// manual page beside this file.
//
// # How the data flows
//
//	arguments ─→ options ─┬─→ client.Dial: transport, context ─→ message ─→ MIC ─→ verified, printed
//	                      ├─→ load.Run: the same many times ─→ summary
//	                      └─→ push.Dial: operations ─→ results, events ─→ pushView: lines, JSON
//
// Standard output has the lines that MIT's gss-client prints, standard error what
// went wrong and what to do about it. The exit status says whether every answer
// was verified.
package main
