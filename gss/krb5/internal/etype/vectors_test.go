package etype

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lookup(t testing.TB, id ID) *Profile {
	t.Helper()
	p, err := Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s = %x, want %s", what, got, want)
	}
}

// RFC 3961, appendix A.1.
func TestNFold(t *testing.T) {
	for _, v := range []struct {
		in   string
		size int
		want string
	}{
		{"012345", 8, "be072631276b1955"},
		{"password", 7, "78a07b6caf85fa"},
		{"Rough Consensus, and Running Code", 8, "bb6ed30870b7f0e0"},
		{"password", 21, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"},
		{"MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 24, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"},
		{"Q", 21, "518a54a215a8452a518a54a215a8452a518a54a215"},
		{"ba", 21, "fb25d531ae8974499f52fd92ea9857c4ba24cf297e"},
		{"kerberos", 8, "6b65726265726f73"},
		{"kerberos", 16, "6b65726265726f737b9b5b2b93132b93"},
		{"kerberos", 21, "8372c236344e5f1550cd0747e15d62ca7a5a3bcea4"},
		{"kerberos", 32, "6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4"},
	} {
		got := make([]byte, v.size)
		nfold(got, []byte(v.in))
		wantHex(t, v.in, got, v.want)
	}
}

// Key usage 2. The first two are of MIT krb5's t_derive, the others of RFC
// 8009, appendix A.
func TestDerivedKeys(t *testing.T) {
	for _, v := range []struct {
		id         ID
		key        string
		kc, ke, ki string
	}{
		{
			17, "42263c6e89f4fc28b8df68ee09799f15",
			"34280a382bc92769b2da2f9ef066854b", "5b14fc4e250e14ddf9dccf1af6674f53", "4ed31063621684f09ae8d89991af3e8f",
		},
		{
			18, "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161",
			"bfab388bdcb238e9f9c98d6a878304f04d30c82556375ac507a7a852790f4674",
			"c7cfd9cd75fe793a586a542d87e0d1396f1134a104bb1a9190b8c90ada3ddf37",
			"97151b4c76945063e2eb0529dc067d97d7bba90776d8126d91f34f3101aea8ba",
		},
		{
			19, "3705d96080c17728a0e800eab6e0d23c",
			"b31a018a48f54776f403e9a396325dc3", "9b197dd1e8c5609d6e67c3e37c62c72e", "9fda0e56ab2d85e1569a688696c26a6c",
		},
		{
			20, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
			"ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d",
			"56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49",
			"69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f",
		},
	} {
		p := lookup(t, v.id)
		for _, k := range []struct {
			purpose byte
			size    int
			want    string
		}{{forChecksum, p.macKeySize, v.kc}, {forEncryption, p.keySize, v.ke}, {forIntegrity, p.macKeySize, v.ki}} {
			var d deriver
			err := d.setKey(p, unhex(t, v.key))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, k.size)
			d.derive(got, 2, k.purpose)
			wantHex(t, v.id.String(), got, k.want)
		}
	}
}

// RFC 3962, appendix B, and RFC 8009, appendix A.
func TestStringToKeyVectors(t *testing.T) {
	x64, x65 := strings.Repeat("X", 64), strings.Repeat("X", 65)
	athena := "ATHENA.MIT.EDUraeburn"
	salt8 := "\x12\x34\x56\x78\x78\x56\x34\x12"
	salt16 := "\x10\xdf\x9d\xd7\x83\xe5\xbc\x8a\xce\xa1\x73\x0e\x74\x35\x5f\x61"
	for _, v := range []struct {
		id         ID
		iterations uint32
		password   string
		salt       string
		want       string
	}{
		{17, 1, "password", athena, "42263c6e89f4fc28b8df68ee09799f15"},
		{18, 1, "password", athena, "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161"},
		{17, 2, "password", athena, "c651bf29e2300ac27fa469d693bdda13"},
		{18, 2, "password", athena, "a2e16d16b36069c135d5e9d2e25f896102685618b95914b467c67622225824ff"},
		{17, 1200, "password", athena, "4c01cd46d632d01e6dbe230a01ed642a"},
		{18, 1200, "password", athena, "55a6ac740ad17b4846941051e1e8b0a7548d93b0ab30a8bc3ff16280382b8c2a"},
		{17, 5, "password", salt8, "e9b23d52273747dd5c35cb55be619d8e"},
		{18, 5, "password", salt8, "97a4e786be20d81a382d5ebc96d5909cabcdadc87ca48f574504159f16c36e31"},
		{17, 1200, x64, "pass phrase equals block size", "59d1bb789a828b1aa54ef9c2883f69ed"},
		{18, 1200, x64, "pass phrase equals block size", "89adee3608db8bc71f1bfbfe459486b05618b70cbae22092534e56c553ba4b34"},
		{17, 1200, x65, "pass phrase exceeds block size", "cb8005dc5f90179a7f02104c0018751d"},
		{18, 1200, x65, "pass phrase exceeds block size", "d78c5c9cb872a8c9dad4697f0bb5b2d21496c82beb2caeda2112fceea057401b"},
		{17, 50, "\U0001d11e", "EXAMPLE.COMpianist", "f149c1f2e154a73452d43e7fe62a56e5"},
		{18, 50, "\U0001d11e", "EXAMPLE.COMpianist", "4b6d9839f84406df1f09cc166db4b83c571848b784a3d6bdc346589a3e393f9e"},
		{19, 32768, "password", salt16 + athena, "089bca48b105ea6ea77ca5d2f39dc5e7"},
		{20, 32768, "password", salt16 + athena, "45bd806dbf6a833a9cffc1c94589a222367a79bc21c413718906e9f578a78467"},
	} {
		p := lookup(t, v.id)
		got, err := p.StringToKey(v.password, v.salt, binary.BigEndian.AppendUint32(nil, v.iterations))
		if err != nil {
			t.Errorf("%s, %d iterations: %v", v.id, v.iterations, err)
			continue
		}
		wantHex(t, v.id.String(), got, v.want)
	}
}

// RFC 3962, appendix B: the AES key is given, so derivation is left out; the
// first block stands where the confounder does.
func TestCTSVectors(t *testing.T) {
	text := []byte("I would like the General Gau's Chicken, please, and wonton soup.")
	key := []byte("chicken teriyaki")
	p := lookup(t, AES128CTSHMACSHA196)
	c := &Cipher{p: p, mac: p.newMACKey(key)}
	if err := c.cbc.setKey(key); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{
		17: "c6353568f2bf8cb4d8a580362da7ff7f97",
		31: "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5",
		32: "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584",
		47: "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
		48: "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8",
		64: "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8" +
			"4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
	} {
		sealed, err := c.Seal(nil, text[16:n], bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, "ciphertext", sealed[:n], want)
		plain, err := c.Open(nil, sealed)
		if err != nil || !bytes.Equal(plain, text[16:n]) {
			t.Errorf("%d bytes decrypt to %q, %v", n, plain, err)
		}
	}
}

// RFC 8009, appendix A, key usage 2.
func TestEncryptionVectors(t *testing.T) {
	key128 := "3705d96080c17728a0e800eab6e0d23c"
	key256 := "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52"
	plain21 := "000102030405060708090a0b0c0d0e0f1011121314"
	for _, v := range []struct {
		id                           ID
		key, confounder, plain, want string
	}{
		{19, key128, "7e5895eaf2672435bad817f545a37148", "", "ef85fb890bb8472f4dab20394dca781d ad877eda39d50c870c0d5a0a8e48c718"},
		{19, key128, "7bca285e2fd4130fb55b1a5c83bc5b24", plain21[:12], "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6 877ce99e247e52d16ed4421dfdf8976c"},
		{
			19, key128, "56ab21713ff62c0a1457200f6fa9948f", plain21[:32],
			"3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc2 95fb4852e7d83e1e7c48c37eebe6b0d3",
		},
		{
			19, key128, "a7a4e29a4728ce10664fb64e49ad3fac", plain21,
			"720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c1 86b39a413c2f92ca9b8334a287ffcbfc",
		},
		{20, key256, "f764e9fa15c276478b2c7d0c4e5f58e4", "", "41f53fa5bfe7026d91faf9be959195a0 58707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c"},
		{
			20, key256, "b80d3251c1f6471494256ffe712d0b9a", plain21[:12],
			"4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9 f559c7f664f69eab7b6092237526ea0d1f61cb20d69d10f2",
		},
		{
			20, key256, "53bf8a0d105265d4e276428624ce5e63", plain21[:32],
			"bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f6 8cf51f14d798c2273f35df574d1f932e40c4ff255b36a266",
		},
		{
			20, key256, "763e65367e864f02f55153c7e3b58af1", plain21,
			"40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86 fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62",
		},
	} {
		c, err := lookup(t, v.id).NewCipher(unhex(t, v.key), 2)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Seal(nil, unhex(t, v.plain), bytes.NewReader(unhex(t, v.confounder)))
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, v.id.String(), got, strings.ReplaceAll(v.want, " ", ""))
		plain, err := c.Open(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, v.id.String(), plain, v.plain)
	}
}

// RFC 8009, appendix A, key usage 2.
func TestChecksumVectors(t *testing.T) {
	text := unhex(t, "000102030405060708090a0b0c0d0e0f1011121314")
	for _, v := range []struct {
		id        ID
		key, want string
	}{
		{19, "3705d96080c17728a0e800eab6e0d23c", "d78367186643d67b411cba9139fc1dee"},
		{20, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52", "45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a"},
	} {
		c, err := lookup(t, v.id).NewChecksum(unhex(t, v.key), 2)
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, v.id.String(), c.Sum(nil, text, nil), v.want)
		wantHex(t, v.id.String(), c.Sum(nil, text[:9], text[9:]), v.want)
	}
}

// RFC 8009, appendix A, and MIT krb5's t_prf for RFC 3962.
func TestPRFVectors(t *testing.T) {
	const (
		key256a = "c01f157211f7b77eaaf457c3e156690127ee127d810ba6392e97baa243eb0616"
		key256b = "9d520d2d980aa7cb6b693682b62da258b333867951642ce647ae62b1e5e0b5e9"
	)
	for _, v := range []struct {
		id              ID
		key, in, result string
	}{
		{17, "ae272e7cdec86ac5138cdb196d8e297d", "0161", "77b39a37a868920f2a51f9dd150c5717"},
		{17, "67ab1cfef35e4c27ffdeac60385a3e9c", "0162", "e06c0dd31ff02091994f2ef5178bfe3d"},
		{18, key256a, "0161", "b2628c788e2e9c4a9bb4644678c29f2f"},
		{18, key256a, "0261", "b406373350cee8a6126f4a9b65a0cd21"},
		{18, key256b, "0162", "ff0e289ea756c0559a0e911856961a49"},
		{18, key256b, "0262", "0d674dd0f9a6806525a4d92e828bd15a"},
		{19, "3705d96080c17728a0e800eab6e0d23c", "74657374", "9d188616f63852fe86915bb840b4a886ff3e6bb0f819b49b893393d393854295"},
		{
			20, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52", "74657374",
			"9801f69a368c2bf675e59521e177d9a07f67efe1cfde8d3c8d6f6a0256e3b17db3c1b62ad1b8553360d17367eb1514d2",
		},
	} {
		got, err := lookup(t, v.id).PRF(unhex(t, v.key), unhex(t, v.in))
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, v.id.String(), got, v.result)
	}
}
