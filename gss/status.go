package gss

import (
	"fmt"
	"strings"
)

// A Major is an RFC 2743 major status, with the value that RFC 2744 gives it.
// Each is an error and can be the target of errors.Is.
type Major uint32

// Calling and routine errors (RFC 2743, section 1.2.1.1).
const (
	ErrBadMech            Major = 1 << 16
	ErrBadName            Major = 2 << 16
	ErrBadNameType        Major = 3 << 16
	ErrBadBindings        Major = 4 << 16
	ErrBadStatus          Major = 5 << 16
	ErrBadMIC             Major = 6 << 16
	ErrNoCred             Major = 7 << 16
	ErrNoContext          Major = 8 << 16
	ErrDefectiveToken     Major = 9 << 16
	ErrDefectiveCred      Major = 10 << 16
	ErrCredentialsExpired Major = 11 << 16
	ErrContextExpired     Major = 12 << 16
	ErrFailure            Major = 13 << 16
	ErrBadQOP             Major = 14 << 16
	ErrUnauthorized       Major = 15 << 16
	ErrUnavailable        Major = 16 << 16
	ErrDuplicateElement   Major = 17 << 16
	ErrNameNotMN          Major = 18 << 16
)

// Supplementary status of per-message tokens. With ErrUnseqToken and
// ErrGapToken the message is good and is returned beside the error: the caller
// decides. With ErrDuplicateToken and ErrOldToken nothing is returned.
const (
	ErrDuplicateToken Major = 2
	ErrOldToken       Major = 4
	ErrUnseqToken     Major = 8
	ErrGapToken       Major = 16
)

var majorText = map[Major]string{
	ErrBadMech:            "An unsupported mechanism was requested",
	ErrBadName:            "An invalid name was supplied",
	ErrBadNameType:        "A supplied name was of an unsupported type",
	ErrBadBindings:        "Incorrect channel bindings were supplied",
	ErrBadStatus:          "An invalid status code was supplied",
	ErrBadMIC:             "A token had an invalid Message Integrity Check (MIC)",
	ErrNoCred:             "No credentials were supplied, or the credentials were unavailable or inaccessible",
	ErrNoContext:          "No context has been established",
	ErrDefectiveToken:     "Invalid token was supplied",
	ErrDefectiveCred:      "Invalid credential was supplied",
	ErrCredentialsExpired: "The referenced credential has expired",
	ErrContextExpired:     "The referenced context has expired",
	ErrFailure:            "Unspecified GSS failure.  Minor code may provide more information",
	ErrBadQOP:             "The quality-of-protection (QOP) requested could not be provided",
	ErrUnauthorized:       "The operation is forbidden by local security policy",
	ErrUnavailable:        "The operation or option is not available or unsupported",
	ErrDuplicateElement:   "The requested credential element already exists",
	ErrNameNotMN:          "The provided name was not mechanism specific (MN)",
	ErrDuplicateToken:     "The token was a duplicate of an earlier token",
	ErrOldToken:           "The token's validity period has expired",
	ErrUnseqToken:         "A later token has already been processed",
	ErrGapToken:           "An expected per-message token was not received",
}

// Error gives the text that MIT's gss_display_status has for the code.
func (m Major) Error() string {
	if t, ok := majorText[m]; ok {
		return t
	}
	return fmt.Sprintf("Unknown GSS major status 0x%x", uint32(m))
}

// An Error is the failure of a GSS-API call.
type Error struct {
	Major  Major  // RFC 2743 status
	Minor  int32  // the mechanism's own code, as MIT's library numbers it; 0 when it has none
	Mech   OID    // the mechanism that gives Minor its meaning
	Remote bool   // the peer found the fault and said so in an error token
	Err    error  // the cause; may be nil
	Hint   string // what to do about it, where that is known
}

// Error gives the major status and the cause in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Remote {
		b.WriteString("remote error: ")
	}
	b.WriteString(e.Major.Error())
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's major status.
func (e *Error) Is(target error) bool {
	m, ok := target.(Major)
	return ok && m == e.Major
}
