package gss_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss"
)

// The numbers are RFC 2744's, the words MIT's.
var majors = []struct {
	major gss.Major
	value uint32
	text  string
}{
	{gss.ErrBadMech, 1 << 16, "An unsupported mechanism was requested"},
	{gss.ErrBadName, 2 << 16, "An invalid name was supplied"},
	{gss.ErrBadNameType, 3 << 16, "A supplied name was of an unsupported type"},
	{gss.ErrBadBindings, 4 << 16, "Incorrect channel bindings were supplied"},
	{gss.ErrBadStatus, 5 << 16, "An invalid status code was supplied"},
	{gss.ErrBadMIC, 6 << 16, "A token had an invalid Message Integrity Check (MIC)"},
	{gss.ErrNoCred, 7 << 16, "No credentials were supplied, or the credentials were unavailable or inaccessible"},
	{gss.ErrNoContext, 8 << 16, "No context has been established"},
	{gss.ErrDefectiveToken, 9 << 16, "Invalid token was supplied"},
	{gss.ErrDefectiveCred, 10 << 16, "Invalid credential was supplied"},
	{gss.ErrCredentialsExpired, 11 << 16, "The referenced credential has expired"},
	{gss.ErrContextExpired, 12 << 16, "The referenced context has expired"},
	{gss.ErrFailure, 13 << 16, "Unspecified GSS failure.  Minor code may provide more information"},
	{gss.ErrBadQOP, 14 << 16, "The quality-of-protection (QOP) requested could not be provided"},
	{gss.ErrUnauthorized, 15 << 16, "The operation is forbidden by local security policy"},
	{gss.ErrUnavailable, 16 << 16, "The operation or option is not available or unsupported"},
	{gss.ErrDuplicateElement, 17 << 16, "The requested credential element already exists"},
	{gss.ErrNameNotMN, 18 << 16, "The provided name was not mechanism specific (MN)"},
	{gss.ErrDuplicateToken, 2, "The token was a duplicate of an earlier token"},
	{gss.ErrOldToken, 4, "The token's validity period has expired"},
	{gss.ErrUnseqToken, 8, "A later token has already been processed"},
	{gss.ErrGapToken, 16, "An expected per-message token was not received"},
}

func TestMajorText(t *testing.T) {
	for _, tt := range majors {
		if uint32(tt.major) != tt.value || tt.major.Error() != tt.text {
			t.Errorf("%#x: %q, want %#x: %q", uint32(tt.major), tt.major, tt.value, tt.text)
		}
	}
	if got := gss.Major(99 << 16).Error(); got != "Unknown GSS major status 0x630000" {
		t.Errorf("an unknown status is %q", got)
	}
}

// MIT's library, where it is installed, has these very words.
func TestMajorTextMIT(t *testing.T) {
	found, err := filepath.Glob("/usr/lib/*/libgssapi_krb5.so.2")
	if err != nil || len(found) == 0 {
		t.Skip("MIT's libgssapi_krb5.so.2 is not installed")
	}
	library, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range majors {
		if !bytes.Contains(library, []byte("\x00"+tt.text+"\x00")) {
			t.Errorf("%s does not have %q", found[0], tt.text)
		}
	}
}

func TestError(t *testing.T) {
	cause := fmt.Errorf("reading: %w", &fs.PathError{Op: "open", Path: "krb5.keytab", Err: fs.ErrNotExist})
	for _, tt := range []struct {
		err  *gss.Error
		text string
	}{
		{&gss.Error{Major: gss.ErrBadMIC}, "A token had an invalid Message Integrity Check (MIC)"},
		{&gss.Error{Major: gss.ErrNoCred, Err: cause}, gss.ErrNoCred.Error() + ": reading: open krb5.keytab: file does not exist"},
		{&gss.Error{Major: gss.ErrFailure, Remote: true, Minor: -1765328347, Err: errors.New("Clock skew too great")},
			"remote error: " + gss.ErrFailure.Error() + ": Clock skew too great"},
	} {
		if got := tt.err.Error(); got != tt.text {
			t.Errorf("got %q, want %q", got, tt.text)
		}
	}

	err := fmt.Errorf("accepting: %w", &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Err: cause, Hint: "ktadd"})
	var e *gss.Error
	if !errors.As(err, &e) || e.Hint != "ktadd" || e.Mech != gss.MechKrb5 || strings.Contains(err.Error(), "ktadd") {
		t.Errorf("errors.As found %+v", e)
	}
	var pathError *fs.PathError
	if !errors.Is(err, gss.ErrNoCred) || errors.Is(err, gss.ErrFailure) || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &pathError) {
		t.Errorf("errors.Is and errors.As do not see through %v", err)
	}
	var major gss.Major
	if !errors.As(fmt.Errorf("unwrap: %w", gss.ErrGapToken), &major) || major != gss.ErrGapToken {
		t.Error("errors.As does not find a bare status")
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		flags gss.Flags
		text  string
	}{
		{0, ""},
		{gss.DefaultFlags, "GSS_C_MUTUAL_FLAG|GSS_C_REPLAY_FLAG|GSS_C_SEQUENCE_FLAG|GSS_C_CONF_FLAG|GSS_C_INTEG_FLAG"},
		{1, "GSS_C_DELEG_FLAG"},
		{0x40 | 0x80 | 0x100, "GSS_C_ANON_FLAG|GSS_C_PROT_READY_FLAG|GSS_C_TRANS_FLAG"},
		{0x800 | 0x1000, "GSS_C_CHANNEL_BOUND_FLAG|GSS_C_DCE_STYLE"},
		{0x2000_0000, ""},
	} {
		if got := tt.flags.String(); got != tt.text {
			t.Errorf("%#x is %q, want %q", uint32(tt.flags), got, tt.text)
		}
	}
	if got := (gss.Delegation | gss.Integrity).Names(); len(got) != 2 || got[0] != "GSS_C_DELEG_FLAG" || got[1] != "GSS_C_INTEG_FLAG" {
		t.Errorf("the names are %q", got)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		usage            gss.Usage
		text             string
		initiate, accept bool
	}{
		{gss.InitiateAndAccept, "INITIATE-AND-ACCEPT", true, true},
		{gss.InitiateOnly, "INITIATE", true, false},
		{gss.AcceptOnly, "ACCEPT", false, true},
	} {
		if tt.usage.String() != tt.text || tt.usage.CanInitiate() != tt.initiate || tt.usage.CanAccept() != tt.accept {
			t.Errorf("%s: %t, %t", tt.usage, tt.usage.CanInitiate(), tt.usage.CanAccept())
		}
	}
	info := gss.Info{Initiator: gss.UserName("alice"), Acceptor: gss.HostService("host")}
	if info.Peer() != info.Initiator {
		t.Error("the acceptor's peer is not the initiator")
	}
	if info.Local = true; info.Peer() != info.Acceptor {
		t.Error("the initiator's peer is not the acceptor")
	}
}
