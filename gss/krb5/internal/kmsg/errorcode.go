package kmsg

import "strconv"

// An ErrorCode is the error-code of a KRB-ERROR (RFC 4120, section 7.5.9; the
// certificate ones RFC 4556, the last ones RFC 6113 and IAKERB). It is an error:
// its text is MIT's, word for word.
type ErrorCode int32

const (
	KDCErrNone                        ErrorCode = 0  // KDC_ERR_NONE
	KDCErrNameExp                     ErrorCode = 1  // KDC_ERR_NAME_EXP
	KDCErrServiceExp                  ErrorCode = 2  // KDC_ERR_SERVICE_EXP
	KDCErrBadPvno                     ErrorCode = 3  // KDC_ERR_BAD_PVNO
	KDCErrCOldMastKvno                ErrorCode = 4  // KDC_ERR_C_OLD_MAST_KVNO
	KDCErrSOldMastKvno                ErrorCode = 5  // KDC_ERR_S_OLD_MAST_KVNO
	KDCErrCPrincipalUnknown           ErrorCode = 6  // KDC_ERR_C_PRINCIPAL_UNKNOWN
	KDCErrSPrincipalUnknown           ErrorCode = 7  // KDC_ERR_S_PRINCIPAL_UNKNOWN
	KDCErrPrincipalNotUnique          ErrorCode = 8  // KDC_ERR_PRINCIPAL_NOT_UNIQUE
	KDCErrNullKey                     ErrorCode = 9  // KDC_ERR_NULL_KEY
	KDCErrCannotPostdate              ErrorCode = 10 // KDC_ERR_CANNOT_POSTDATE
	KDCErrNeverValid                  ErrorCode = 11 // KDC_ERR_NEVER_VALID
	KDCErrPolicy                      ErrorCode = 12 // KDC_ERR_POLICY
	KDCErrBadOption                   ErrorCode = 13 // KDC_ERR_BADOPTION
	KDCErrEtypeNoSupp                 ErrorCode = 14 // KDC_ERR_ETYPE_NOSUPP
	KDCErrSumtypeNoSupp               ErrorCode = 15 // KDC_ERR_SUMTYPE_NOSUPP
	KDCErrPadataTypeNoSupp            ErrorCode = 16 // KDC_ERR_PADATA_TYPE_NOSUPP
	KDCErrTrtypeNoSupp                ErrorCode = 17 // KDC_ERR_TRTYPE_NOSUPP
	KDCErrClientRevoked               ErrorCode = 18 // KDC_ERR_CLIENT_REVOKED
	KDCErrServiceRevoked              ErrorCode = 19 // KDC_ERR_SERVICE_REVOKED
	KDCErrTGTRevoked                  ErrorCode = 20 // KDC_ERR_TGT_REVOKED
	KDCErrClientNotYet                ErrorCode = 21 // KDC_ERR_CLIENT_NOTYET
	KDCErrServiceNotYet               ErrorCode = 22 // KDC_ERR_SERVICE_NOTYET
	KDCErrKeyExpired                  ErrorCode = 23 // KDC_ERR_KEY_EXPIRED
	KDCErrPreauthFailed               ErrorCode = 24 // KDC_ERR_PREAUTH_FAILED
	KDCErrPreauthRequired             ErrorCode = 25 // KDC_ERR_PREAUTH_REQUIRED
	KDCErrServerNoMatch               ErrorCode = 26 // KDC_ERR_SERVER_NOMATCH
	KDCErrMustUseUser2User            ErrorCode = 27 // KDC_ERR_MUST_USE_USER2USER
	KDCErrPathNotAccepted             ErrorCode = 28 // KDC_ERR_PATH_NOT_ACCEPTED
	KDCErrSvcUnavailable              ErrorCode = 29 // KDC_ERR_SVC_UNAVAILABLE
	APErrBadIntegrity                 ErrorCode = 31 // KRB_AP_ERR_BAD_INTEGRITY
	APErrTktExpired                   ErrorCode = 32 // KRB_AP_ERR_TKT_EXPIRED
	APErrTktNYV                       ErrorCode = 33 // KRB_AP_ERR_TKT_NYV
	APErrRepeat                       ErrorCode = 34 // KRB_AP_ERR_REPEAT
	APErrNotUs                        ErrorCode = 35 // KRB_AP_ERR_NOT_US
	APErrBadMatch                     ErrorCode = 36 // KRB_AP_ERR_BADMATCH
	APErrSkew                         ErrorCode = 37 // KRB_AP_ERR_SKEW
	APErrBadAddr                      ErrorCode = 38 // KRB_AP_ERR_BADADDR
	APErrBadVersion                   ErrorCode = 39 // KRB_AP_ERR_BADVERSION
	APErrMsgType                      ErrorCode = 40 // KRB_AP_ERR_MSG_TYPE
	APErrModified                     ErrorCode = 41 // KRB_AP_ERR_MODIFIED
	APErrBadOrder                     ErrorCode = 42 // KRB_AP_ERR_BADORDER
	APErrIllCrTkt                     ErrorCode = 43 // KRB_AP_ERR_ILL_CR_TKT
	APErrBadKeyVer                    ErrorCode = 44 // KRB_AP_ERR_BADKEYVER
	APErrNoKey                        ErrorCode = 45 // KRB_AP_ERR_NOKEY
	APErrMutFail                      ErrorCode = 46 // KRB_AP_ERR_MUT_FAIL
	APErrBadDirection                 ErrorCode = 47 // KRB_AP_ERR_BADDIRECTION
	APErrMethod                       ErrorCode = 48 // KRB_AP_ERR_METHOD
	APErrBadSeq                       ErrorCode = 49 // KRB_AP_ERR_BADSEQ
	APErrInappCksum                   ErrorCode = 50 // KRB_AP_ERR_INAPP_CKSUM
	APPathNotAccepted                 ErrorCode = 51 // KRB_AP_PATH_NOT_ACCEPTED
	ErrResponseTooBig                 ErrorCode = 52 // KRB_ERR_RESPONSE_TOO_BIG
	ErrGeneric                        ErrorCode = 60 // KRB_ERR_GENERIC
	ErrFieldTooLong                   ErrorCode = 61 // KRB_ERR_FIELD_TOOLONG
	KDCErrClientNotTrusted            ErrorCode = 62 // KDC_ERR_CLIENT_NOT_TRUSTED
	KDCErrKDCNotTrusted               ErrorCode = 63 // KDC_ERR_KDC_NOT_TRUSTED
	KDCErrInvalidSig                  ErrorCode = 64 // KDC_ERR_INVALID_SIG
	KDCErrDHKeyParametersNotAccepted  ErrorCode = 65 // KDC_ERR_DH_KEY_PARAMETERS_NOT_ACCEPTED
	KDCErrCertificateMismatch         ErrorCode = 66 // KDC_ERR_CERTIFICATE_MISMATCH
	APErrNoTGT                        ErrorCode = 67 // KRB_AP_ERR_NO_TGT
	KDCErrWrongRealm                  ErrorCode = 68 // KDC_ERR_WRONG_REALM
	APErrUserToUserRequired           ErrorCode = 69 // KRB_AP_ERR_USER_TO_USER_REQUIRED
	KDCErrCantVerifyCertificate       ErrorCode = 70 // KDC_ERR_CANT_VERIFY_CERTIFICATE
	KDCErrInvalidCertificate          ErrorCode = 71 // KDC_ERR_INVALID_CERTIFICATE
	KDCErrRevokedCertificate          ErrorCode = 72 // KDC_ERR_REVOKED_CERTIFICATE
	KDCErrRevocationStatusUnknown     ErrorCode = 73 // KDC_ERR_REVOCATION_STATUS_UNKNOWN
	KDCErrRevocationStatusUnavailable ErrorCode = 74 // KDC_ERR_REVOCATION_STATUS_UNAVAILABLE
	KDCErrClientNameMismatch          ErrorCode = 75 // KDC_ERR_CLIENT_NAME_MISMATCH
	KDCErrKDCNameMismatch             ErrorCode = 76 // KDC_ERR_KDC_NAME_MISMATCH
	APErrIAKERBKDCNotFound            ErrorCode = 85 // KRB_AP_ERR_IAKERB_KDC_NOT_FOUND
	APErrIAKERBKDCNoResponse          ErrorCode = 86 // KRB_AP_ERR_IAKERB_KDC_NO_RESPONSE
	KDCErrPreauthExpired              ErrorCode = 90 // KDC_ERR_PREAUTH_EXPIRED
	KDCErrMorePreauthDataRequired     ErrorCode = 91 // KDC_ERR_MORE_PREAUTH_DATA_REQUIRED
	KDCErrUnknownCriticalFASTOptions  ErrorCode = 93 // KDC_ERR_UNKNOWN_CRITICAL_FAST_OPTIONS
)

// mitErrorBase is where MIT's table of Kerberos error messages starts: what
// GSS-API programs show as minor status is this plus the code.
const mitErrorBase = -1765328384

// Error returns MIT's text for the code: "Clock skew too great".
func (c ErrorCode) Error() string {
	if c >= 0 && int(c) < len(errorTable) && errorTable[c].text != "" {
		return errorTable[c].text
	}
	return "KRB5 error code " + strconv.Itoa(int(c))
}

// String is Error.
func (c ErrorCode) String() string { return c.Error() }

// Name returns the RFC's name, "KRB_AP_ERR_SKEW", or "" for a code that has
// none.
func (c ErrorCode) Name() string {
	if c >= 0 && int(c) < len(errorTable) {
		return errorTable[c].name
	}
	return ""
}

// Minor returns the code as a GSS-API minor status, MIT's number for it: its
// int32 is -1765328347 for APErrSkew. Codes outside 0..127, whose numbers would
// be those of local errors, give ErrGeneric's.
func (c ErrorCode) Minor() uint32 {
	if c < 0 || c > 127 {
		c = ErrGeneric
	}
	return uint32(mitErrorBase + int32(c))
}

var errorTable = [...]struct{ name, text string }{
	KDCErrNone:                        {"KDC_ERR_NONE", "No error"},
	KDCErrNameExp:                     {"KDC_ERR_NAME_EXP", "Client's entry in database has expired"},
	KDCErrServiceExp:                  {"KDC_ERR_SERVICE_EXP", "Server's entry in database has expired"},
	KDCErrBadPvno:                     {"KDC_ERR_BAD_PVNO", "Requested protocol version not supported"},
	KDCErrCOldMastKvno:                {"KDC_ERR_C_OLD_MAST_KVNO", "Client's key is encrypted in an old master key"},
	KDCErrSOldMastKvno:                {"KDC_ERR_S_OLD_MAST_KVNO", "Server's key is encrypted in an old master key"},
	KDCErrCPrincipalUnknown:           {"KDC_ERR_C_PRINCIPAL_UNKNOWN", "Client not found in Kerberos database"},
	KDCErrSPrincipalUnknown:           {"KDC_ERR_S_PRINCIPAL_UNKNOWN", "Server not found in Kerberos database"},
	KDCErrPrincipalNotUnique:          {"KDC_ERR_PRINCIPAL_NOT_UNIQUE", "Principal has multiple entries in Kerberos database"},
	KDCErrNullKey:                     {"KDC_ERR_NULL_KEY", "Client or server has a null key"},
	KDCErrCannotPostdate:              {"KDC_ERR_CANNOT_POSTDATE", "Ticket is ineligible for postdating"},
	KDCErrNeverValid:                  {"KDC_ERR_NEVER_VALID", "Requested effective lifetime is negative or too short"},
	KDCErrPolicy:                      {"KDC_ERR_POLICY", "KDC policy rejects request"},
	KDCErrBadOption:                   {"KDC_ERR_BADOPTION", "KDC can't fulfill requested option"},
	KDCErrEtypeNoSupp:                 {"KDC_ERR_ETYPE_NOSUPP", "KDC has no support for encryption type"},
	KDCErrSumtypeNoSupp:               {"KDC_ERR_SUMTYPE_NOSUPP", "KDC has no support for checksum type"},
	KDCErrPadataTypeNoSupp:            {"KDC_ERR_PADATA_TYPE_NOSUPP", "KDC has no support for padata type"},
	KDCErrTrtypeNoSupp:                {"KDC_ERR_TRTYPE_NOSUPP", "KDC has no support for transited type"},
	KDCErrClientRevoked:               {"KDC_ERR_CLIENT_REVOKED", "Client's credentials have been revoked"},
	KDCErrServiceRevoked:              {"KDC_ERR_SERVICE_REVOKED", "Credentials for server have been revoked"},
	KDCErrTGTRevoked:                  {"KDC_ERR_TGT_REVOKED", "TGT has been revoked"},
	KDCErrClientNotYet:                {"KDC_ERR_CLIENT_NOTYET", "Client not yet valid - try again later"},
	KDCErrServiceNotYet:               {"KDC_ERR_SERVICE_NOTYET", "Server not yet valid - try again later"},
	KDCErrKeyExpired:                  {"KDC_ERR_KEY_EXPIRED", "Password has expired"},
	KDCErrPreauthFailed:               {"KDC_ERR_PREAUTH_FAILED", "Preauthentication failed"},
	KDCErrPreauthRequired:             {"KDC_ERR_PREAUTH_REQUIRED", "Additional pre-authentication required"},
	KDCErrServerNoMatch:               {"KDC_ERR_SERVER_NOMATCH", "Requested server and ticket don't match"},
	KDCErrMustUseUser2User:            {"KDC_ERR_MUST_USE_USER2USER", "Server principal valid for user2user only"},
	KDCErrPathNotAccepted:             {"KDC_ERR_PATH_NOT_ACCEPTED", "KDC policy rejects transited path"},
	KDCErrSvcUnavailable:              {"KDC_ERR_SVC_UNAVAILABLE", "A service is not available that is required to process the request"},
	APErrBadIntegrity:                 {"KRB_AP_ERR_BAD_INTEGRITY", "Decrypt integrity check failed"},
	APErrTktExpired:                   {"KRB_AP_ERR_TKT_EXPIRED", "Ticket expired"},
	APErrTktNYV:                       {"KRB_AP_ERR_TKT_NYV", "Ticket not yet valid"},
	APErrRepeat:                       {"KRB_AP_ERR_REPEAT", "Request is a replay"},
	APErrNotUs:                        {"KRB_AP_ERR_NOT_US", "The ticket isn't for us"},
	APErrBadMatch:                     {"KRB_AP_ERR_BADMATCH", "Ticket/authenticator don't match"},
	APErrSkew:                         {"KRB_AP_ERR_SKEW", "Clock skew too great"},
	APErrBadAddr:                      {"KRB_AP_ERR_BADADDR", "Incorrect net address"},
	APErrBadVersion:                   {"KRB_AP_ERR_BADVERSION", "Protocol version mismatch"},
	APErrMsgType:                      {"KRB_AP_ERR_MSG_TYPE", "Invalid message type"},
	APErrModified:                     {"KRB_AP_ERR_MODIFIED", "Message stream modified"},
	APErrBadOrder:                     {"KRB_AP_ERR_BADORDER", "Message out of order"},
	APErrIllCrTkt:                     {"KRB_AP_ERR_ILL_CR_TKT", "Illegal cross-realm ticket"},
	APErrBadKeyVer:                    {"KRB_AP_ERR_BADKEYVER", "Key version is not available"},
	APErrNoKey:                        {"KRB_AP_ERR_NOKEY", "Service key not available"},
	APErrMutFail:                      {"KRB_AP_ERR_MUT_FAIL", "Mutual authentication failed"},
	APErrBadDirection:                 {"KRB_AP_ERR_BADDIRECTION", "Incorrect message direction"},
	APErrMethod:                       {"KRB_AP_ERR_METHOD", "Alternative authentication method required"},
	APErrBadSeq:                       {"KRB_AP_ERR_BADSEQ", "Incorrect sequence number in message"},
	APErrInappCksum:                   {"KRB_AP_ERR_INAPP_CKSUM", "Inappropriate type of checksum in message"},
	APPathNotAccepted:                 {"KRB_AP_PATH_NOT_ACCEPTED", "Policy rejects transited path"},
	ErrResponseTooBig:                 {"KRB_ERR_RESPONSE_TOO_BIG", "Response too big for UDP, retry with TCP"},
	ErrGeneric:                        {"KRB_ERR_GENERIC", "Generic error (see e-text)"},
	ErrFieldTooLong:                   {"KRB_ERR_FIELD_TOOLONG", "Field is too long for this implementation"},
	KDCErrClientNotTrusted:            {"KDC_ERR_CLIENT_NOT_TRUSTED", "Client not trusted"},
	KDCErrKDCNotTrusted:               {"KDC_ERR_KDC_NOT_TRUSTED", "KDC not trusted"},
	KDCErrInvalidSig:                  {"KDC_ERR_INVALID_SIG", "Invalid signature"},
	KDCErrDHKeyParametersNotAccepted:  {"KDC_ERR_DH_KEY_PARAMETERS_NOT_ACCEPTED", "Key parameters not accepted"},
	KDCErrCertificateMismatch:         {"KDC_ERR_CERTIFICATE_MISMATCH", "Certificate mismatch"},
	APErrNoTGT:                        {"KRB_AP_ERR_NO_TGT", "No ticket granting ticket"},
	KDCErrWrongRealm:                  {"KDC_ERR_WRONG_REALM", "Realm not local to KDC"},
	APErrUserToUserRequired:           {"KRB_AP_ERR_USER_TO_USER_REQUIRED", "User to user required"},
	KDCErrCantVerifyCertificate:       {"KDC_ERR_CANT_VERIFY_CERTIFICATE", "Can't verify certificate"},
	KDCErrInvalidCertificate:          {"KDC_ERR_INVALID_CERTIFICATE", "Invalid certificate"},
	KDCErrRevokedCertificate:          {"KDC_ERR_REVOKED_CERTIFICATE", "Revoked certificate"},
	KDCErrRevocationStatusUnknown:     {"KDC_ERR_REVOCATION_STATUS_UNKNOWN", "Revocation status unknown"},
	KDCErrRevocationStatusUnavailable: {"KDC_ERR_REVOCATION_STATUS_UNAVAILABLE", "Revocation status unavailable"},
	KDCErrClientNameMismatch:          {"KDC_ERR_CLIENT_NAME_MISMATCH", "Client name mismatch"},
	KDCErrKDCNameMismatch:             {"KDC_ERR_KDC_NAME_MISMATCH", "KDC name mismatch"},
	APErrIAKERBKDCNotFound:            {"KRB_AP_ERR_IAKERB_KDC_NOT_FOUND", "The IAKERB proxy could not find a KDC"},
	APErrIAKERBKDCNoResponse:          {"KRB_AP_ERR_IAKERB_KDC_NO_RESPONSE", "The KDC did not respond to the IAKERB proxy"},
	KDCErrPreauthExpired:              {"KDC_ERR_PREAUTH_EXPIRED", "Preauthentication expired"},
	KDCErrMorePreauthDataRequired:     {"KDC_ERR_MORE_PREAUTH_DATA_REQUIRED", "More preauthentication data is required"},
	KDCErrUnknownCriticalFASTOptions:  {"KDC_ERR_UNKNOWN_CRITICAL_FAST_OPTIONS", "An unsupported critical FAST option was requested"},
}
