package ccache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// The language of KCM daemons, as Heimdal made it and MIT's library speaks it. A request is its length, then the protocol's
// version (2.0), a number that says what is asked, and the parameters without anything between them. A reply is the length
// of what follows the next number, that number (0, or why the request could not be handled), a status and the content. All
// numbers are big endian; all but the version and the request's number have 32 bits.

const (
	defaultKCMSocket = "/var/run/.heim_org.h5l.kcm-socket"

	// maxKCMReply is MIT's bound on a reply, in bytes.
	maxKCMReply = 10 << 20

	// maxKCMList bounds lists of caches and credentials, each element of which costs a question: people have a dozen.
	maxKCMList = 4096

	// kcmTimeout bounds all that one operation asks a daemon, which is on this machine and has its answers in memory.
	kcmTimeout = 10 * time.Second
)

//lint:file-ignore ST1005 MIT's words

// ErrNoKCM means that no daemon listens.
var ErrNoKCM = errors.New("No KCM server found")

var errKCMReply = fmt.Errorf("%w: Malformed reply from KCM daemon", ErrFormat)

// A kcmStatus is why the daemon does not do what it was asked: an errno, or a code of MIT's error table.
type kcmStatus int32

func (s kcmStatus) Error() string {
	if s > 0 && s < 200 {
		return "the KCM daemon says: " + syscall.Errno(s).Error()
	}
	return fmt.Sprintf("the KCM daemon says: error %d", int32(s))
}

// Is knows the codes by which daemons say that something does not exist (KRB5_CC_NOTFOUND, KRB5_CC_END, KRB5_FCC_NOFILE) or
// is not the caller's (KRB5_FCC_PERM).
func (s kcmStatus) Is(target error) bool {
	switch s {
	case -1765328243, -1765328242, -1765328189, kcmStatus(syscall.ENOENT):
		return target == fs.ErrNotExist
	case -1765328190, kcmStatus(syscall.EACCES), kcmStatus(syscall.EPERM):
		return target == fs.ErrPermission
	}
	return false
}

// ErrKCMSilent means that a daemon listens and does not answer.
var ErrKCMSilent = errors.New("the KCM daemon does not answer")

// A kcmConn is the connection of one operation.
type kcmConn struct {
	net.Conn
	ctx  context.Context // of the operation
	stop func() bool     // ends the watch for ctx's end
}

func (c *kcmConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// silence words the error of an exchange that took too long.
func (c *kcmConn) silence(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if cause := context.Cause(c.ctx); cause != nil {
		return fmt.Errorf("%w: %w", ErrKCMSilent, cause)
	}
	return fmt.Errorf("%w within %v", ErrKCMSilent, kcmTimeout)
}

func dialKCM(ctx context.Context, socket string) (*kcmConn, error) {
	if socket == "-" {
		return nil, fmt.Errorf("%w: kcm_socket is -", ErrNoKCM)
	}
	conn, err := (&net.Dialer{Timeout: kcmTimeout}).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, fs.ErrPermission):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %v", ErrNoKCM, err) // that the socket is missing must not read as if the cache were
	}
	if err := conn.SetDeadline(time.Now().Add(kcmTimeout)); err != nil {
		conn.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return &kcmConn{Conn: conn, ctx: ctx, stop: stop}, nil
}

// call asks one thing and gives the reply's content.
func (c *kcmConn) call(op uint16, parameters ...[]byte) ([]byte, error) {
	body := bytes.Join(parameters, nil)
	request := binary.BigEndian.AppendUint32(make([]byte, 0, 8+len(body)), uint32(4+len(body)))
	request = append(request, 2, 0)
	request = binary.BigEndian.AppendUint16(request, op)
	request = append(request, body...)
	clear(body)
	_, err := c.Write(request)
	clear(request) // there may have been a key in it
	if err != nil {
		return nil, c.silence(err)
	}
	reply, err := readKCMReply(c)
	if err != nil {
		return nil, c.silence(err)
	}
	return reply, nil
}

func readKCMReply(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if status := kcmStatus(binary.BigEndian.Uint32(head[4:])); status != 0 {
		return nil, status
	}
	switch {
	case length > maxKCMReply:
		return nil, fmt.Errorf("%w: KCM daemon reply too big: %d bytes", ErrFormat, length)
	case length < 4:
		return nil, errKCMReply
	}
	reply := make([]byte, length)
	if _, err := io.ReadFull(r, reply); err != nil {
		return nil, err
	}
	if status := kcmStatus(binary.BigEndian.Uint32(reply)); status != 0 {
		return nil, status
	}
	return reply[4:], nil
}

// uuids asks for a list of UUIDs, 16 bytes each.
func (c *kcmConn) uuids(op uint16, parameters ...[]byte) ([][]byte, error) {
	reply, err := c.call(op, parameters...)
	if err != nil {
		return nil, err
	}
	if len(reply)%16 != 0 || len(reply)/16 > maxKCMList {
		return nil, errKCMReply
	}
	ids := make([][]byte, len(reply)/16)
	for i := range ids {
		ids[i] = reply[16*i : 16*i+16]
	}
	return ids, nil
}

// kcmName reads a reply that is a name.
func kcmName(reply []byte) (string, error) {
	name, rest, ended := bytes.Cut(reply, []byte{0})
	if !ended || len(rest) != 0 || len(name) == 0 {
		return "", errKCMReply
	}
	return string(name), nil
}

// kcmCredList reads a reply that is a number of credentials, each with its length before it.
func kcmCredList(reply []byte) ([]Credential, error) {
	s := cryptobyte.String(reply)
	var n uint32
	if !s.ReadUint32(&n) || n > maxKCMList {
		return nil, errKCMReply
	}
	var creds []Credential
	for range n {
		var length uint32
		var one []byte
		if !s.ReadUint32(&length) || uint64(length) > uint64(len(s)) || !s.ReadBytes(&one, int(length)) {
			return nil, errKCMReply
		}
		var err error
		if creds, err = unmarshalCredential(creds, one); err != nil {
			return nil, err
		}
	}
	if !s.Empty() {
		return nil, errKCMReply
	}
	return creds, nil
}
