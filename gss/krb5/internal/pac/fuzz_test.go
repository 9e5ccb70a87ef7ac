package pac

import (
	"bytes"
	"testing"

	"github.com/jcmturner/gokrb5/v8/test/testdata"

	"github.com/countersign-go/countersign/gss/krb5/internal/etype"
)

// FuzzPAC reads all that there is of a PAC as if its signature had verified,
// which a key's owner can bring about. A PAC laid out anew of its buffers reads
// the same.
func FuzzPAC(f *testing.F) {
	data, key := adPAC(f)
	f.Add(data)
	f.Add(build([]Buffer{{TypeLogonInfo, unhex(f, testdata.MarshaledPAC_Kerb_Validation_Info_MS)}}))
	f.Add(build([]Buffer{{TypeLogonInfo, unhex(f, testdata.MarshaledPAC_Kerb_Validation_Info_Trust)}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		before := bytes.Clone(data)
		p.Verify(key, etype.AES256CTSHMACSHA196)
		client, clientErr := p.ClientInfo()
		upn, upnErr := p.UPNInfo()
		logon, logonErr := p.LogonInfo()
		if !bytes.Equal(data, before) {
			t.Fatal("reading altered the input")
		}
		if n := len(logon.GroupSIDs) + len(logon.ExtraSIDs) + len(logon.ResourceGroupSIDs); n > len(data)/8 {
			t.Fatalf("%d groups of %d octets", n, len(data))
		}
		q, err := Parse(build(p.Buffers))
		if err != nil {
			t.Fatal(err)
		}
		client2, err2 := q.ClientInfo()
		upn2, err3 := q.UPNInfo()
		logon2, err4 := q.LogonInfo()
		if client2 != client || upn2 != upn || logon2.UserSID != logon.UserSID ||
			(err2 == nil) != (clientErr == nil) || (err3 == nil) != (upnErr == nil) || (err4 == nil) != (logonErr == nil) {
			t.Fatal("the same buffers read differently")
		}
	})
}
