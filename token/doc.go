// Package token carries GSS-API tokens over a byte stream, in the two framings of the sample programs that MIT Kerberos and
// the Java GSS tutorials ship.
//
//	version 1   length(4, big endian) | data
//	version 2   flags(1) | length(4, big endian) | data
//
// A [Conn] stands between a stream and whoever makes and takes tokens:
//
//	stream --Read--> read-ahead --> header: version, length limit --> data --> ReadFrame, ReadToken
//	WriteFrame, WriteToken, WriteFrameFunc --> header and data in one buffer --one Write--> stream
//
// An acceptor need not be told the version. Version 2 knows no frame without flags, and a version 1 token is shorter than
// 2^24 bytes, so the first byte of the stream is 0 in version 1 and never in version 2.
//
// An initiator of version 2 begins with an empty frame NOOP|CONTEXT_NEXT, the [Greeting]. Who only makes and takes context
// tokens need not know: the first WriteToken of a Conn on which nothing was read or written sends it along, the first
// ReadToken passes it over where it comes. Over a Conn as it is gss.Initiate and gss.Accept therefore work with MIT's programs.
//
// A length in a header is a claim. It is compared with the limit before it is believed, and memory is then taken only as the
// data arrives: at most four times what has come, or 4 KiB, whatever the header says. A Conn that waits for a frame holds
// 2 KiB; larger buffers are borrowed from a pool that all Conns share, for as long as a frame is being read, used or written.
// What all Conns that read hold at once a [Budget] bounds.
//
// The package knows nothing of GSS-API mechanisms and uses the standard library alone.
package token
