// Package load drives many sessions of package client at once and measures
// throughput, latency and errors.
//
//	Config ─ Run ─→ workers ─ client.Dial, Session.Sign ─→ server
//	                   │
//	                   └─ histograms, counters ─→ Progress, Report
//
// Without a rate each worker sends its next message when the last one's answer
// has come (a closed loop): a server that stalls is then sent less, and what
// waiting callers would have suffered does not show. With a rate messages have
// their times on a schedule, whatever the server does, and latency counts from
// those times (an open loop). Times less than 100 µs apart may be waited for
// together. On Linux messages leave on a timer of the kernel's; elsewhere Go's
// may be a millisecond late. All that counts, too.
package load
