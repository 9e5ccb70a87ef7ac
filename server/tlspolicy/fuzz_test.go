package tlspolicy

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"testing"

	"github.com/countersign-go/countersign/testdata/pki"
)

// encryptedKey is an Ed25519 key that openssl genpkey made for this test,
// encrypted with the passphrase "secret" by AES-128-CBC, 2048 iterations.
const encryptedKey = "" +
	"30819b305706092a864886f70d01050d304a302906092a864886f70d01050c301c04086e9a22881b9a06600202080030" +
	"0c06082a864886f70d02090500301d060960864801650304010204106620da8eb34417c2ed0e78d12988b8e10440808f" +
	"1af4513279019ae7107cabc345156517a7fa3db81102e2979393113951b8cd6beab333aa612acbd54709b783de704e94" +
	"3d04f0b5f149266397458f932af7"

func decodeHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every strict prefix of a good key fails, as does one with anything after it.
func TestDecryptPKCS8(t *testing.T) {
	der := decodeHex(t, encryptedKey)
	plain, err := decryptPKCS8(der, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		t.Errorf("%T, %v", key, err)
	}
	for n := range der {
		if _, err := decryptPKCS8(der[:n], []byte("secret")); !errors.Is(err, errNoPKCS8) {
			t.Fatalf("%d of %d bytes: %v", n, len(der), err)
		}
	}
	if _, err := decryptPKCS8(append(bytes.Clone(der), 0), []byte("secret")); !errors.Is(err, errNoPKCS8) {
		t.Errorf("a byte more: %v", err)
	}
}

// What is decrypted is shorter than what it was made of and ends on no more than
// a block of padding; iterations are bounded before any is done.
func FuzzDecryptPKCS8(f *testing.F) {
	f.Add(decodeHex(f, encryptedKey))
	f.Fuzz(func(t *testing.T, der []byte) {
		if len(der) > 1<<12 || iterations(der) > 10000 {
			return // slow, and slow on purpose
		}
		plain, err := decryptPKCS8(der, []byte("secret"))
		if err == nil && len(plain) >= len(der) {
			t.Errorf("%d bytes of %d", len(plain), len(der))
		}
		if err != nil && plain != nil {
			t.Errorf("%d bytes beside %v", len(plain), err)
		}
	})
}

// iterations looks for large numbers where the iterations could be.
func iterations(der []byte) (most int) {
	for i := 0; i+4 < len(der); i++ {
		if der[i] == 2 && der[i+1] <= 4 {
			n := 0
			for _, b := range der[i+2 : min(len(der), i+2+int(der[i+1]))] {
				n = n<<8 | int(b)
			}
			most = max(most, n)
		}
	}
	return most
}

// A list that is read has its entries found by their serial number.
func FuzzParseCRLs(f *testing.F) {
	dir := f.TempDir()
	p, err := pki.New(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"ca.crl", "ca.crl.der", "intermediate.crl"} {
		content, err := os.ReadFile(p.Path(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		lists, err := parseCRLs("fuzz", content)
		if err != nil {
			return
		}
		if len(lists) == 0 {
			t.Fatal("neither list nor error")
		}
		for _, c := range lists {
			for _, entry := range c.list.RevokedCertificateEntries {
				if c.revoked[serialKey(entry.SerialNumber)] == nil {
					t.Errorf("entry %x is not found", entry.SerialNumber)
				}
			}
		}
	})
}

// Every strict prefix of a list in DER fails.
func TestCRLPrefixes(t *testing.T) {
	p, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(p.Path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	for n := range block.Bytes {
		if _, err := parseCRL(block.Bytes[:n]); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(block.Bytes))
		}
	}
	if _, err := parseCRL(append(block.Bytes, 0)); err == nil {
		t.Error("a byte more: no error")
	}
}
