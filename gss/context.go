package gss

import (
	"context"
	"time"
)

// An Initiator makes contexts as the side that speaks first.
type Initiator interface {
	// Mechanism is the mechanism of the contexts that Initiate makes.
	Mechanism() OID

	// Initiate prepares a context to the request's target. All I/O that the
	// mechanism needs, such as getting a ticket, happens here and ends when
	// ctx does. The context's first Step takes nil.
	Initiate(ctx context.Context, req Request) (Context, error)
}

// An Acceptor makes contexts as the side that answers.
type Acceptor interface {
	// Mechanism is the mechanism of the contexts that Accept makes.
	Mechanism() OID

	// Accept prepares a context. bindings are those of the channel that the
	// tokens arrive by; nil when it has none.
	Accept(bindings *ChannelBindings) (Context, error)
}

// A Request says what an initiator wants of a context.
type Request struct {
	Target Name // whom to talk to, as a rule a [HostService]

	// Flags are the services wanted; zero means [DefaultFlags]. Those that the
	// mechanism cannot give make the context fail, except Delegation, which
	// [Info] then shows as absent.
	Flags Flags

	Bindings *ChannelBindings // of the channel that carries the tokens; nil when it has none
}

// A PRFKey says which key PseudoRandom uses (RFC 4401, section 3).
type PRFKey int

const (
	PRFKeyFull    PRFKey = iota // the key of the established context
	PRFKeyPartial               // the key that stands before the acceptor's contribution
)

// A Context is one end of a security context. Step establishes it, the
// per-message calls then protect messages. One goroutine steps; the
// per-message calls, Inquire and Delete may be made by many at once.
type Context interface {
	// Step takes the peer's token, nil for an initiator's first call, and
	// gives the token to send to the peer, empty when there is none
	// (RFC 2743, sections 2.2.1 and 2.2.2). When it fails, a token that comes
	// with the error is an error token: it should be sent, and the context is
	// of no more use. Every later Step returns the same error.
	Step(token []byte) (reply []byte, err error)

	// Established reports whether the context stands. Until then, and while
	// Step returns no error, the peer's next token is awaited.
	Established() bool

	// Inquire tells about the context (RFC 2743, section 2.2.6). Before it is
	// established the information is partial.
	Inquire() Info

	// MIC appends msg's message integrity code to dst (GSS_GetMIC).
	MIC(dst, msg []byte) ([]byte, error)

	// VerifyMIC checks a MIC against the message it was made of.
	VerifyMIC(msg, mic []byte) error

	// Wrap appends a token that carries msg to dst: encrypted when seal is
	// set, readable but protected when not. msg and the spare capacity of dst
	// must not overlap.
	Wrap(dst, msg []byte, seal bool) ([]byte, error)

	// Unwrap appends the message that the token carries to dst and tells
	// whether it was encrypted. With [ErrUnseqToken] and [ErrGapToken] the
	// message is returned beside the error. token is not modified; it and the
	// spare capacity of dst must not overlap.
	Unwrap(dst, token []byte) (msg []byte, sealed bool, err error)

	// WrapSizeLimit gives the length of the longest message whose Wrap token
	// has at most size octets (GSS_Wrap_size_limit).
	WrapSizeLimit(size int, seal bool) (int, error)

	// PseudoRandom derives n octets from the context's key and input; both
	// ends get the same (GSS_Pseudo_random, RFC 4401).
	PseudoRandom(key PRFKey, input []byte, n int) ([]byte, error)

	// SessionKey gives a copy of the key that per-message tokens are made
	// with, for protocols that derive their own from it, such as SMB.
	SessionKey() ([]byte, error)

	// Export gives the context as a token, from which the mechanism can import
	// it in this or another process (GSS_Export_sec_context). The token holds
	// keys: keep it as secret as those. Afterwards this context is deleted.
	Export() ([]byte, error)

	// Delete ends the context and wipes its keys as far as Go allows
	// (GSS_Delete_sec_context). Deleting twice does nothing.
	Delete()
}

// Info is what there is to know about a context.
type Info struct {
	Mechanism   OID
	Initiator   Name // who initiated
	Acceptor    Name // who accepted
	Local       bool // this end initiated
	Established bool
	Flags       Flags
	Expires     time.Time // when the context ends; zero: never

	// Delegated is the credential that the initiator delegated, on the
	// acceptor's side; nil when there is none. Its mechanism's package says
	// what can be done with it.
	Delegated Credential

	// Attributes are what is known of the initiator beside its name, on the
	// acceptor's side; nil when there is nothing.
	Attributes Attributes
}

// Peer is the name of the other side.
func (i Info) Peer() Name {
	if i.Local {
		return i.Acceptor
	}
	return i.Initiator
}
