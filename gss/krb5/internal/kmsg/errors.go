package kmsg

import "errors"

var (
	// ErrMalformed is what errors.Is finds in the error for bytes that are
	// not the DER of the message asked for, and for a struct that cannot be
	// written as one.
	ErrMalformed = errors.New("malformed Kerberos message")

	// ErrMessageType is what errors.Is finds when the bytes begin another
	// Kerberos message than the one asked for.
	//
	//lint:ignore ST1005 MIT's words
	ErrMessageType = errors.New("Invalid message type")

	// ErrPrincipal is returned by ParsePrincipal, in MIT's words.
	//
	//lint:ignore ST1005 MIT's words
	ErrPrincipal = errors.New("Malformed representation of principal")
)

// A SyntaxError says where a message is malformed. It matches ErrMalformed,
// and, where the protocol has an error code for the fault, that ErrorCode.
type SyntaxError struct {
	Message string // RFC 4120's name of the message: "AP-REQ"
	Field   string // RFC 4120's name of the field, from the outside in: "ticket.sname"; "" for the message itself
	Problem string // what is wrong with it

	code ErrorCode
}

func (e *SyntaxError) Error() string {
	if e.Field == "" {
		return "malformed " + e.Message + ": " + e.Problem
	}
	return "malformed " + e.Message + ": " + e.Field + ": " + e.Problem
}

// Is reports whether target is ErrMalformed or the error code that goes to the
// peer for this fault: APErrBadVersion for pvno and tkt-vno, APErrMsgType for
// msg-type.
func (e *SyntaxError) Is(target error) bool {
	return target == ErrMalformed || e.code != 0 && target == e.code
}

// A MessageTypeError says that another Kerberos message was found in the place
// of the one expected. It matches ErrMessageType and APErrMsgType.
type MessageTypeError struct {
	Want string // RFC 4120's name of the message expected: "AP-REP"
	Got  string // the name of the one that the first byte announces: "KRB-ERROR"
}

func (e *MessageTypeError) Error() string {
	return "Invalid message type: " + e.Got + " where " + e.Want + " was expected"
}

// Is reports whether target is ErrMessageType or APErrMsgType.
func (e *MessageTypeError) Is(target error) bool {
	return target == ErrMessageType || target == APErrMsgType
}
