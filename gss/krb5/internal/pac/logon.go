package pac

import (
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/pac"

	"github.com/countersign-go/countersign/gss/krb5/internal/fence"
)

// LogonInfo is what the domain says of the client (MS-PAC, section 2.5). SIDs
// are written S-1-5-21-...
type LogonInfo struct {
	UserName  string // of the account
	FullName  string
	Domain    string // the account's, by its NetBIOS name
	Server    string // domain controller that authenticated the client, by its NetBIOS name
	LogonTime time.Time

	UserSID           string
	PrimaryGroupSID   string
	GroupSIDs         []string // groups of the account's domain
	ExtraSIDs         []string // groups of other domains, and well-known ones
	ResourceGroupSIDs []string // groups of the service's domain
}

// Attributes of a group (MS-PAC, section 2.2.1).
const groupEnabled = 1 << 2

// LogonInfo decodes the buffer. An error wraps ErrNoBuffer when there is none,
// as in the PACs of an MIT KDC without an account database that has SIDs.
// Groups that are not enabled are left out.
func (p *PAC) LogonInfo() (info LogonInfo, err error) {
	b, err := p.Buffer(TypeLogonInfo)
	if err != nil {
		return LogonInfo{}, fmt.Errorf("logon information: %w", err)
	}
	if !checkLogonInfo(b) {
		return LogonInfo{}, fmt.Errorf("%w: logon information", errFormat)
	}
	var k pac.KerbValidationInfo
	if err := fence.Run(func() error { return k.Unmarshal(b) }); err != nil {
		return LogonInfo{}, fmt.Errorf("%w: logon information: %w", errFormat, err)
	}
	info = LogonInfo{
		UserName:  k.EffectiveName.Value,
		FullName:  k.FullName.Value,
		Domain:    k.LogonDomainName.Value,
		Server:    k.LogonServer.Value,
		LogonTime: fileTime(uint64(k.LogOnTime.HighDateTime)<<32 | uint64(k.LogOnTime.LowDateTime)),
	}
	for _, s := range k.ExtraSIDs {
		if s.Attributes&groupEnabled != 0 && s.SID.Revision != 0 {
			info.ExtraSIDs = append(info.ExtraSIDs, s.SID.String())
		}
	}
	if k.LogonDomainID.Revision != 0 {
		domain := k.LogonDomainID.String()
		info.UserSID = relative(domain, k.UserID)
		info.PrimaryGroupSID = relative(domain, k.PrimaryGroupID)
		for _, g := range k.GroupIDs {
			if g.Attributes&groupEnabled != 0 {
				info.GroupSIDs = append(info.GroupSIDs, relative(domain, g.RelativeID))
			}
		}
	}
	// An account whose SID has no place in the domain's is the first extra one.
	if k.UserID == 0 && len(k.ExtraSIDs) > 0 && k.ExtraSIDs[0].SID.Revision != 0 {
		info.UserSID = k.ExtraSIDs[0].SID.String()
	}
	if k.ResourceGroupDomainSID.Revision != 0 {
		domain := k.ResourceGroupDomainSID.String()
		for _, g := range k.ResourceGroupIDs {
			if g.Attributes&groupEnabled != 0 {
				info.ResourceGroupSIDs = append(info.ResourceGroupSIDs, relative(domain, g.RelativeID))
			}
		}
	}
	return info, nil
}

func relative(domain string, id uint32) string { return fmt.Sprintf("%s-%d", domain, id) }
