package kdc

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status codes of MIT's error table which are not in the protocol.
const (
	codeBase      = -1765328384 // of the table: a KDC's code is added to it
	codeRealm     = -1765328230 // KRB5_REALM_UNKNOWN
	codeUnreach   = -1765328228 // KRB5_KDC_UNREACH
	codeModified  = -1765328237 // KRB5_KDCREP_MODIFIED
	codePreauth   = -1765328174 // KRB5_PREAUTH_FAILED
	codeReplySkew = -1765328236 // KRB5_KDCREP_SKEW
)

// Error codes of KDCs that matter here, RFC 4120 section 7.5.9 and RFC 6806.
const (
	errClientUnknown = 6
	errServerUnknown = 7
	errEtypeNoSupp   = 14
	errPreauthFailed = 24
	errPreauthNeeded = 25
	errUnavailable   = 29
	errIntegrity     = 31
	errSkew          = 37
	errTooBig        = 52
	errWrongRealm    = 68
)

// Error is a KRB-ERROR from a KDC, or a condition found here which has such a
// code.
type Error struct {
	Code       int32     // RFC 4120 section 7.5.9
	Client     Principal // as asked for
	Server     Principal // as asked for
	Detail     string    // the KDC's own e-text, unverified; may be empty
	ServerTime time.Time // the KDC's clock when it answered

	data   []byte // e-data
	crealm string // a client referral's realm
}

// Error words the code as MIT does.
func (e *Error) Error() string {
	switch {
	case e.Code == errClientUnknown:
		return fmt.Sprintf("Client '%v' not found in Kerberos database", e.Client)
	case e.Code == errServerUnknown:
		return fmt.Sprintf("Server %v not found in Kerberos database", e.Server)
	}
	if text, ok := errorText[e.Code]; ok {
		return text
	}
	return fmt.Sprintf("KDC returned error code %d", e.Code)
}

// Minor is MIT's status code.
func (e *Error) Minor() int32 { return codeBase + e.Code }

// Is compares codes, so that errors.Is(err, &Error{Code: 6}) finds an unknown client.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// PasswordError says that the password is wrong: the KDC could not read what
// was encrypted with it, or its reply could not be read with it.
type PasswordError struct {
	Client Principal
	Err    error
}

func (e *PasswordError) Error() string { return "Password incorrect" }

// Unwrap gives the KDC's error, or that of the decryption.
func (e *PasswordError) Unwrap() error { return e.Err }

// Minor is MIT's status code.
func (e *PasswordError) Minor() int32 {
	var k *Error
	if errors.As(e.Err, &k) {
		return k.Minor()
	}
	return codeBase + errIntegrity
}

// PreauthError says that the KDC wants pre-authentication of a kind that is not
// known here. MIT's KDC does so too where the client has no key of the encryption
// types that were asked for.
type PreauthError struct{ Err error }

func (e *PreauthError) Error() string {
	return "Generic preauthentication failure: the KDC does not offer the encrypted timestamp; " +
		"perhaps the client has no key of the encryption types in default_tkt_enctypes"
}

// Unwrap gives the KDC's error.
func (e *PreauthError) Unwrap() error { return e.Err }

// Minor is MIT's status code.
func (e *PreauthError) Minor() int32 { return codePreauth }

// NoKDCError says that neither the configuration nor DNS knows a KDC.
type NoKDCError struct {
	Realm string
	Err   error // what is wrong with the configuration, or what DNS said, if it was asked
}

func (e *NoKDCError) Error() string {
	s := fmt.Sprintf("Cannot find KDC for realm %q", e.Realm)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *NoKDCError) Unwrap() error { return e.Err }

// Minor is MIT's status code.
func (e *NoKDCError) Minor() int32 { return codeRealm }

// UnreachableError says that no KDC of a realm answered.
type UnreachableError struct {
	Realm  string
	Causes []error // of each attempt, and of the context if that ended
}

func (e *UnreachableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cannot contact any KDC for realm '%s'", e.Realm)
	for i, err := range e.Causes {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + err.Error())
	}
	return b.String()
}

// Unwrap gives the causes.
func (e *UnreachableError) Unwrap() []error { return e.Causes }

// Minor is MIT's status code.
func (e *UnreachableError) Minor() int32 { return codeUnreach }

// ReplyError says that a reply is not one to the request that was sent, or is
// malformed.
type ReplyError struct {
	Reason string
	Err    error
	minor  int32
}

func (e *ReplyError) Error() string {
	text := "KDC reply did not match expectations"
	if e.minor == codeReplySkew {
		text = "Clock skew too great in KDC reply"
	}
	text += ": " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *ReplyError) Unwrap() error { return e.Err }

// Minor is MIT's status code.
func (e *ReplyError) Minor() int32 { return e.minor }

func badReply(reason string, err error) error {
	return &ReplyError{Reason: reason, Err: err, minor: codeModified}
}
