package kmsg

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Texts and numbers as MIT krb5's error table has them.
func TestErrorCodes(t *testing.T) {
	cases := []struct {
		code  ErrorCode
		minor int32
		name  string
		text  string
	}{
		{KDCErrCPrincipalUnknown, -1765328378, "KDC_ERR_C_PRINCIPAL_UNKNOWN", "Client not found in Kerberos database"},
		{KDCErrSPrincipalUnknown, -1765328377, "KDC_ERR_S_PRINCIPAL_UNKNOWN", "Server not found in Kerberos database"},
		{KDCErrEtypeNoSupp, -1765328370, "KDC_ERR_ETYPE_NOSUPP", "KDC has no support for encryption type"},
		{KDCErrPreauthFailed, -1765328360, "KDC_ERR_PREAUTH_FAILED", "Preauthentication failed"},
		{KDCErrPreauthRequired, -1765328359, "KDC_ERR_PREAUTH_REQUIRED", "Additional pre-authentication required"},
		{APErrBadIntegrity, -1765328353, "KRB_AP_ERR_BAD_INTEGRITY", "Decrypt integrity check failed"},
		{APErrTktExpired, -1765328352, "KRB_AP_ERR_TKT_EXPIRED", "Ticket expired"},
		{APErrTktNYV, -1765328351, "KRB_AP_ERR_TKT_NYV", "Ticket not yet valid"},
		{APErrRepeat, -1765328350, "KRB_AP_ERR_REPEAT", "Request is a replay"},
		{APErrNotUs, -1765328349, "KRB_AP_ERR_NOT_US", "The ticket isn't for us"},
		{APErrBadMatch, -1765328348, "KRB_AP_ERR_BADMATCH", "Ticket/authenticator don't match"},
		{APErrSkew, -1765328347, "KRB_AP_ERR_SKEW", "Clock skew too great"},
		{APErrModified, -1765328343, "KRB_AP_ERR_MODIFIED", "Message stream modified"},
		{APErrBadKeyVer, -1765328340, "KRB_AP_ERR_BADKEYVER", "Key version is not available"},
		{ErrGeneric, -1765328324, "KRB_ERR_GENERIC", "Generic error (see e-text)"},
		{30, -1765328354, "", "KRB5 error code 30"},
		{200, -1765328324, "", "KRB5 error code 200"}, // 200's own number would be a local error's
		{-1, -1765328324, "", "KRB5 error code -1"},
	}
	for _, c := range cases {
		if int32(c.code.Minor()) != c.minor || c.code.Name() != c.name || c.code.Error() != c.text || c.code.String() != c.text {
			t.Errorf("%d: %d %q %q", int32(c.code), int32(c.code.Minor()), c.code.Name(), c.code.Error())
		}
	}
	for code, e := range errorTable {
		if (e.name == "") != (e.text == "") {
			t.Errorf("%d has only one of name and text: %q, %q", code, e.name, e.text)
		}
	}
}

func TestKRBErrorIsItsCode(t *testing.T) {
	err := fmt.Errorf("reading the reply: %w", &KRBError{ErrorCode: APErrSkew})
	if !errors.Is(err, APErrSkew) || errors.Is(err, APErrRepeat) || !strings.HasSuffix(err.Error(), ": Clock skew too great") {
		t.Error(err)
	}
	var code ErrorCode
	if !errors.As(err, &code) || code != APErrSkew {
		t.Error(code)
	}
	if got := (&KRBError{ErrorCode: ErrGeneric, EText: "\x1b[2Jno"}).Error(); got != `Generic error (see e-text): "\x1b[2Jno"` {
		t.Error(got)
	}
}
