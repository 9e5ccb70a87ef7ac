package gss

import "time"

// A Credential is what one proves oneself with (RFC 2743, section 1.1.1). This
// is what mechanisms' credentials have in common and what [Info] can carry;
// each is acquired and used by its own mechanism's package.
type Credential interface {
	Name() Name
	Usage() Usage
	Expires() (time.Time, error) // when it can initiate no more; zero: never
	Release() error
}

// Usage says what a credential is for (RFC 2743, section 2.1.1).
type Usage int

const (
	InitiateAndAccept Usage = iota
	InitiateOnly
	AcceptOnly
)

// String gives RFC 2743's word.
func (u Usage) String() string {
	switch u {
	case InitiateOnly:
		return "INITIATE"
	case AcceptOnly:
		return "ACCEPT"
	default:
		return "INITIATE-AND-ACCEPT"
	}
}

// CanInitiate reports whether the usage includes initiating contexts.
func (u Usage) CanInitiate() bool { return u != AcceptOnly }

// CanAccept reports whether the usage includes accepting contexts.
func (u Usage) CanAccept() bool { return u != InitiateOnly }
