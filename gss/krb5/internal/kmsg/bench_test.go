package kmsg

import "testing"

var apReqs = func() []APReq {
	withPAC := Ticket{"EXAMPLE", host, EncryptedData{Etype: 18, Kvno: 2, HasKvno: true, Cipher: make([]byte, 1000)}}
	return []APReq{{Options: APMutualRequired, RawTicket: raw(withPAC), Authenticator: EncryptedData{Etype: 18, Cipher: make([]byte, 230)}}}
}()

// BenchmarkAppendAPReq writes an authenticator and an AP-REQ of 1.3 KB into new
// buffers, without the encryption.
func BenchmarkAppendAPReq(b *testing.B) {
	auth := Authenticator{
		CRealm: "EXAMPLE", CName: alice, Checksum: &Checksum{0x8003, make([]byte, 24)}, CUsec: 999999, CTime: noon,
		SubKey: &aKey, SeqNumber: 1 << 31, HasSeqNumber: true,
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Append(nil); err != nil {
			b.Fatal(err)
		}
		if _, err := apReqs[0].Append(nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseAPReq reads a recorded AP-REQ of MIT's gss-client with all that
// an acceptor decrypts of it: ticket and authenticator.
func BenchmarkParseAPReq(b *testing.B) {
	r := readRecorded(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAPReq(r.apReq); err != nil {
			b.Fatal(err)
		}
		if _, err := ParseEncTicketPart(r.ticketPart); err != nil {
			b.Fatal(err)
		}
		if _, err := ParseAuthenticator(r.authenticator); err != nil {
			b.Fatal(err)
		}
	}
}

// With a buffer of one's own nothing is allocated.
func TestAppendAllocations(t *testing.T) {
	auth := Authenticator{CRealm: "EXAMPLE", CName: alice, Checksum: &Checksum{0x8003, make([]byte, 24)}, CTime: noon, SubKey: &aKey}
	rep := EncAPRepPart{CTime: noon, SubKey: &aKey}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		auth.Append(buf)
		apReqs[0].Append(buf)
		rep.Append(buf)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseAllocations(t *testing.T) {
	r := readRecorded(t)
	if n := testing.AllocsPerRun(100, func() {
		ParseAPReq(r.apReq)
		ParseEncTicketPart(r.ticketPart)
		ParseAuthenticator(r.authenticator)
	}); n > 15 {
		t.Errorf("%v allocations to read an AP-REQ", n)
	}
}
