package pac

import (
	"encoding/binary"
	"fmt"
	"time"
)

// ClientInfo says whose the PAC is (MS-PAC, section 2.7).
type ClientInfo struct {
	Name     string    // without realm
	AuthTime time.Time // of the initial authentication
}

// ClientInfo decodes the buffer. An error wraps ErrNoBuffer when there is none.
func (p *PAC) ClientInfo() (ClientInfo, error) {
	b, err := p.Buffer(TypeClientInfo)
	if err != nil {
		return ClientInfo{}, fmt.Errorf("client information: %w", err)
	}
	if len(b) < 10 || len(b)-10 < int(binary.LittleEndian.Uint16(b[8:])) {
		return ClientInfo{}, fmt.Errorf("%w: client information", errFormat)
	}
	name, err := utf16Text(b[10 : 10+int(binary.LittleEndian.Uint16(b[8:]))])
	if err != nil {
		return ClientInfo{}, err
	}
	return ClientInfo{Name: name, AuthTime: fileTime(binary.LittleEndian.Uint64(b))}, nil
}

// UPNInfo is the client's name as a user types it (MS-PAC, section 2.10).
type UPNInfo struct {
	UPN           string // user principal name, user@domain
	DNSDomain     string // of the client's account
	UPNIsImplicit bool   // the account has none: it was made of account and domain

	// SAMName and SID are those of KDCs since 2021, else empty.
	SAMName string
	SID     string
}

// Flags of UPN_DNS_INFO.
const (
	upnImplicit = 1 << 0
	upnExtended = 1 << 1
)

// UPNInfo decodes the buffer. An error wraps ErrNoBuffer when there is none.
func (p *PAC) UPNInfo() (UPNInfo, error) {
	b, err := p.Buffer(TypeUPNInfo)
	if err != nil {
		return UPNInfo{}, fmt.Errorf("UPN and DNS information: %w", err)
	}
	// field gives what the length and the offset at position at stand for.
	field := func(at int) []byte {
		if err != nil {
			return nil
		}
		if len(b) < at+4 {
			err = fmt.Errorf("%w: UPN and DNS information", errFormat)
			return nil
		}
		n, offset := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
		if offset+n > len(b) {
			err = fmt.Errorf("%w: UPN and DNS information", errFormat)
			return nil
		}
		return b[offset : offset+n]
	}
	text := func(at int) string {
		raw := field(at)
		if err != nil {
			return ""
		}
		var s string
		s, err = utf16Text(raw)
		return s
	}
	var info UPNInfo
	info.UPN = text(0)
	info.DNSDomain = text(4)
	if err == nil && len(b) < 12 {
		err = fmt.Errorf("%w: UPN and DNS information", errFormat)
	}
	if err != nil {
		return UPNInfo{}, err
	}
	flags := binary.LittleEndian.Uint32(b[8:])
	info.UPNIsImplicit = flags&upnImplicit != 0
	if flags&upnExtended != 0 {
		info.SAMName = text(12)
		if raw := field(16); err == nil {
			info.SID, err = sidText(raw)
		}
	}
	if err != nil {
		return UPNInfo{}, err
	}
	return info, nil
}

// sidText writes a SID in the form S-1-5-21-... (MS-DTYP, section 2.4.2).
func sidText(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || b[1] > maxSubAuthorities || len(b) != 8+4*int(b[1]) {
		return "", fmt.Errorf("%w: SID", errFormat)
	}
	authority := uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
	s := fmt.Sprintf("S-1-%d", authority)
	if authority > 1<<32-1 {
		s = fmt.Sprintf("S-1-0x%012x", authority)
	}
	for b = b[8:]; len(b) > 0; b = b[4:] {
		s += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(b))
	}
	return s, nil
}

// Seconds from 1601, where FILETIME counts from, to 1970; its units a second.
const (
	fileTimeEpoch = 11644473600
	fileTimeTicks = 10_000_000
)

// fileTime converts a FILETIME: tenths of a microsecond. Those for "never" and
// "not known" become the zero time.
func fileTime(ticks uint64) time.Time {
	if ticks == 0 || ticks >= 1<<63-1 {
		return time.Time{}
	}
	return time.Unix(int64(ticks/fileTimeTicks)-fileTimeEpoch, int64(ticks%fileTimeTicks)*100).UTC()
}
