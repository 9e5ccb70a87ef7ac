package kmsg

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/jcmturner/gokrb5/v8/test/testdata"
)

// MIT krb5's own reference encodings (src/tests/asn.1/reference_encode.out), as
// gokrb5 carries them: each must be read, and written again byte for byte.
func TestMITReferenceEncodings(t *testing.T) {
	byName := map[string]kind{}
	for _, k := range kinds() {
		byName[k.name] = k
	}
	vectors := []struct{ kind, name, hex string }{
		{"Authenticator", "full", testdata.MarshaledKRB5authenticator},
		{"Authenticator", "without options", testdata.MarshaledKRB5authenticatorOptionalsNULL},
		{"Ticket", "full", testdata.MarshaledKRB5ticket},
		{"EncTicketPart", "full", testdata.MarshaledKRB5enc_tkt_part},
		{"EncTicketPart", "without options", testdata.MarshaledKRB5enc_tkt_partOptionalsNULL},
		{"AP-REQ", "full", testdata.MarshaledKRB5ap_req},
		{"AP-REP", "full", testdata.MarshaledKRB5ap_rep},
		{"EncAPRepPart", "full", testdata.MarshaledKRB5ap_rep_enc_part},
		{"EncAPRepPart", "without options", testdata.MarshaledKRB5ap_rep_enc_partOptionalsNULL},
		{"KRB-CRED", "full", testdata.MarshaledKRB5cred},
		{"EncKrbCredPart", "full", testdata.MarshaledKRB5enc_cred_part},
		{"EncKrbCredPart", "without options", testdata.MarshaledKRB5enc_cred_partOptionalsNULL},
		{"KRB-ERROR", "full", testdata.MarshaledKRB5error},
		{"KRB-ERROR", "without options", testdata.MarshaledKRB5errorOptionalsNULL},
		{"AuthorizationData", "full", testdata.MarshaledKRB5authorization_data},
	}
	for _, v := range vectors {
		der, err := hex.DecodeString(v.hex)
		if err != nil {
			t.Fatal(err)
		}
		k := byName[v.kind]
		m, err := k.parse(der)
		if err != nil {
			t.Errorf("%s %s: %v", v.kind, v.name, err)
			continue
		}
		again, err := k.append(m, nil)
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("%s %s: wrote (%v)\n%x\nwant\n%x", v.kind, v.name, err, again, der)
		}
	}
}

func TestMITReferenceValues(t *testing.T) {
	der, _ := hex.DecodeString(testdata.MarshaledKRB5authenticator)
	a, err := ParseAuthenticator(der)
	if err != nil {
		t.Fatal(err)
	}
	if got := Unparse(a.CName, a.CRealm); got != "hftsai/extra@ATHENA.MIT.EDU" {
		t.Errorf("client %s", got)
	}
	if a.CUsec != 123456 || a.CTime.String() != "1994-06-10 06:03:17 +0000 UTC" {
		t.Errorf("time %v, %d us", a.CTime, a.CUsec)
	}
	if a.SeqNumber != 17 || string(a.SubKey.Value) != "12345678" || string(a.Checksum.Value) != "1234" {
		t.Errorf("%+v", a)
	}
	der, _ = hex.DecodeString(testdata.MarshaledKRB5enc_tkt_part)
	p, err := ParseEncTicketPart(der)
	if err != nil || p.Flags != 0xfedcba98 || string(p.Transited.Contents) != "EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS." || len(p.CAddr) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

// MIT's encoder can be told to write empty optional fields; they are read.
func TestMITReferenceEmptyOptions(t *testing.T) {
	der, _ := hex.DecodeString(testdata.MarshaledKRB5authenticatorOptionalsEmpty)
	a, err := ParseAuthenticator(der)
	if err != nil || Unparse(a.CName, a.CRealm) != "hftsai/extra@ATHENA.MIT.EDU" || len(a.AuthorizationData) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// MIT's vectors of key versions that came as negative numbers.
func TestNegativeKeyVersions(t *testing.T) {
	for want, enc := range map[uint32]string{
		5:          testdata.MarshaledKRB5enc_data,
		0xff000000: testdata.MarshaledKRB5enc_dataMSBSetkvno,
		0xffffffff: testdata.MarshaledKRB5enc_dataKVNONegOne,
	} {
		data, _ := hex.DecodeString(enc)
		der := tlv(0x6f, tlv(0x30, bytes.Join([][]byte{{0xa0, 3, 2, 1, 5, 0xa1, 3, 2, 1, 15}, tlv(0xa2, data)}, nil)))
		m, err := ParseAPRep(der)
		if err != nil || m.EncPart.Kvno != want {
			t.Errorf("kvno %#x, %v; want %#x", m.EncPart.Kvno, err, want)
		}
		again, err := m.Append(nil)
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("kvno %#x: wrote %x (%v), want %x", want, again, err, der)
		}
	}
}
