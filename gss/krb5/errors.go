package krb5

import (
	"fmt"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Minor status codes of failures that are the library's own, as MIT's error
// table numbers them.
const (
	minorCacheMatchNotFound int32 = -1765328243 // KRB5_CC_NOTFOUND
	minorRealmUnknown       int32 = -1765328230 // KRB5_REALM_UNKNOWN
	minorKeytabNotFound     int32 = -1765328203 // KRB5_KT_NOTFOUND
	minorCacheNotFound      int32 = -1765328189 // KRB5_FCC_NOFILE
	minorBadName            int32 = -1765328250 // KRB5_PARSE_MALFORMED
	minorNoDefaultRealm     int32 = -1765328160 // KRB5_CONFIG_NODEFREALM
	minorCacheNoMatch       int32 = 39756032    // KG_CCACHE_NOMATCH
	minorCacheEmpty         int32 = 39756044    // KG_EMPTY_CCACHE
)

// hintLocked is for a file that another program keeps locked.
const hintLocked = "see which program has the file open, with lslocks or fuser, and end it"

const hintKinit = "get a ticket with kinit; if you have one, name its cache in KRB5CCNAME"

// hints say what to do about a protocol error. They speak to whoever sees the
// error first: the service's administrator, or through the error token the
// client's user.
var hints = map[kmsg.ErrorCode]string{
	kmsg.APErrSkew:                "the clocks of client and service are too far apart: set both by NTP",
	kmsg.APErrTktExpired:          "the client's ticket has expired: kinit again",
	kmsg.APErrTktNYV:              "the ticket is for a later time, or the clocks are too far apart: set both by NTP",
	kmsg.APErrNotUs:               "the client asked for another service, or the keytab is of another: compare klist on the client with klist -k on the server",
	kmsg.APErrBadKeyVer:           "the service's key was changed: bring the keytab up to date with ktadd, then get a new ticket with kinit",
	kmsg.APErrNoKey:               "the keytab lacks a key of that enctype: bring it up to date with ktadd",
	kmsg.APErrBadIntegrity:        "the keytab's key is not the KDC's although its version is the same: bring the keytab up to date with ktadd",
	kmsg.APErrRepeat:              "the same token came twice: a network fault, or somebody replaying it",
	kmsg.KDCErrEtypeNoSupp:        "rekey the principal with AES: kadmin -q 'cpw -randkey -e aes256-cts,aes128-cts PRINCIPAL', then ktadd",
	kmsg.KDCErrSPrincipalUnknown:  "create the service's principal, or ask for the name it has; if DNS changed the host's name set dns_canonicalize_hostname = false and rdns = false",
	kmsg.KDCErrCPrincipalUnknown:  "check the spelling of user and realm",
	kmsg.KDCErrPreauthFailed:      "check the password",
	kmsg.APErrIAKERBKDCNotFound:   "give the realm and its KDC in the krb5.conf of the service's host, in [realms]",
	kmsg.APErrIAKERBKDCNoResponse: "is the KDC running, and does the service's host reach it?",
}

// protocolError is a failure that RFC 4120 has an error code for. cause may be
// nil.
func protocolError(major gss.Major, code kmsg.ErrorCode, cause error) *gss.Error {
	var err error = code
	if cause != nil {
		err = fmt.Errorf("%w: %w", code, cause)
	}
	return &gss.Error{Major: major, Minor: int32(code.Minor()), Mech: gss.MechKrb5, Err: err, Hint: hints[code]}
}
