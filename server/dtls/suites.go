package dtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"sync/atomic"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/clientcertificate"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// A suite is a cipher suite with a pre-shared key. Only authenticated
// encryption is offered.
type suite struct {
	id     uint16
	name   string
	ecdhe  bool // forward secrecy
	sha384 bool
	keyLen int
	ivLen  int
	aead   func(localKey, localIV, remoteKey, remoteIV []byte) (recordCipher, error)
}

type recordCipher interface {
	Encrypt(pkt *recordlayer.RecordLayer, raw []byte) ([]byte, error)
	Decrypt(header recordlayer.Header, in []byte) ([]byte, error)
}

func gcm(a, b, c, d []byte) (recordCipher, error) { return ciphersuite.NewGCM(a, b, c, d) }
func chacha(a, b, c, d []byte) (recordCipher, error) {
	return ciphersuite.NewChaCha20Poly1305(a, b, c, d)
}
func ccm(a, b, c, d []byte) (recordCipher, error) {
	return ciphersuite.NewCCM(ciphersuite.CCMTagLength, a, b, c, d)
}
func ccm8(a, b, c, d []byte) (recordCipher, error) {
	return ciphersuite.NewCCM(ciphersuite.CCMTagLength8, a, b, c, d)
}

// suites are what the server knows, best first: those with forward secrecy,
// then those that other programs have, last the short tags of CCM_8, which is
// all that small devices can (RFC 7925, section 4.2).
var suites = []*suite{
	{0xd002, "ECDHE-PSK-AES256-GCM-SHA384", true, true, 32, 4, gcm}, // RFC 8442
	{0xccac, "ECDHE-PSK-CHACHA20-POLY1305", true, false, 32, 12, chacha},
	{0xd001, "ECDHE-PSK-AES128-GCM-SHA256", true, false, 16, 4, gcm},
	{0x00a9, "PSK-AES256-GCM-SHA384", false, true, 32, 4, gcm}, // RFC 5487
	{0xccab, "PSK-CHACHA20-POLY1305", false, false, 32, 12, chacha},
	{0x00a8, "PSK-AES128-GCM-SHA256", false, false, 16, 4, gcm},
	{0xc0a5, "PSK-AES256-CCM", false, false, 32, 4, ccm}, // RFC 6655
	{0xc0a4, "PSK-AES128-CCM", false, false, 16, 4, ccm},
	{0xc0a9, "PSK-AES256-CCM8", false, false, 32, 4, ccm8},
	{0xc0a8, "PSK-AES128-CCM8", false, false, 16, 4, ccm8},
}

// curves are the groups that pion/dtls knows: P-256, P-384, X25519.
var curves = []uint16{23, 24, 29}

// chooseSuite gives the first of our suites that the client offers, nil if
// there is none.
func chooseSuite(h *clientHello) *suite {
	for _, s := range suites {
		if offers(h.suites, s.id) && (!s.ecdhe || h.canECDHE()) {
			return s
		}
	}
	return nil
}

// canECDHE says whether the client names a group that we have. Who names none
// leaves the choice (RFC 8422, section 4).
func (h *clientHello) canECDHE() bool {
	if h.groups == nil {
		return true
	}
	for _, c := range curves {
		if offers(h.groups, c) {
			return true
		}
	}
	return false
}

// standIn is the suite that pion/dtls is shown instead of the client's list
// (one for private use: of its own it does not let go), so that the choice is
// made here, the hash of the handshake is that of what the client sent, and
// records are seen as they are opened.
const standIn = 0xff5f

// An association is the chosen suite with the keys of one peer. It satisfies
// pion/dtls's CipherSuite.
type association struct {
	*suite
	transcript *transcript
	keepSealed bool                                  // opened is told of the sealed record, too
	opened     func(typ byte, sealed, record []byte) // told of every record that comes encrypted; record is nil if it could not be decrypted
	cipher     atomic.Pointer[recordCipher]
}

var errNoKeys = errors.New("dtls: no keys yet")

func (a *association) String() string                          { return a.name }
func (a *association) ID() pion.CipherSuiteID                  { return standIn }
func (a *association) CertificateType() clientcertificate.Type { return 0 }
func (a *association) ECC() bool                               { return a.ecdhe }
func (a *association) AuthenticationType() pion.CipherSuiteAuthenticationType {
	return pion.CipherSuiteAuthenticationTypePreSharedKey
}

func (a *association) KeyExchangeAlgorithm() pion.CipherSuiteKeyExchangeAlgorithm {
	if a.ecdhe {
		return pion.CipherSuiteKeyExchangeAlgorithmPsk | pion.CipherSuiteKeyExchangeAlgorithmEcdhe
	}
	return pion.CipherSuiteKeyExchangeAlgorithmPsk
}

// HashFunc is the hash of the handshake and of the PRF.
func (a *association) HashFunc() func() hash.Hash {
	return func() hash.Hash { return &handshakeHash{Hash: a.hash(), of: a.transcript} }
}

func (s *suite) hash() hash.Hash {
	if s.sha384 {
		return sha512.New384()
	}
	return sha256.New()
}

// Init derives the keys.
func (a *association) Init(masterSecret, clientRandom, serverRandom []byte, isClient bool) error {
	keys, err := prf.GenerateEncryptionKeys(masterSecret, clientRandom, serverRandom, 0, a.keyLen, a.ivLen, a.hash)
	if err != nil {
		return err
	}
	c, err := a.aead(keys.ServerWriteKey, keys.ServerWriteIV, keys.ClientWriteKey, keys.ClientWriteIV)
	if err != nil {
		return err
	}
	a.cipher.Store(&c)
	return nil
}

func (a *association) IsInitialized() bool { return a.cipher.Load() != nil }

func (a *association) Encrypt(pkt *recordlayer.RecordLayer, raw []byte) ([]byte, error) {
	c := a.cipher.Load()
	if c == nil {
		return nil, errNoKeys
	}
	return (*c).Encrypt(pkt, raw)
}

func (a *association) Decrypt(header recordlayer.Header, in []byte) ([]byte, error) {
	c := a.cipher.Load()
	if c == nil {
		return nil, errNoKeys
	}
	var sealed []byte
	if a.keepSealed {
		sealed = bytes.Clone(in) // it is decrypted in its place
	}
	record, err := (*c).Decrypt(header, in)
	if err != nil {
		record = nil
	}
	a.opened(in[0], sealed, record)
	return record, err
}

// A transcript says which hello pion/dtls was given for which the client sent.
// Both are handshake messages with their headers.
type transcript struct {
	given, sent []byte
}

// A handshakeHash hashes what begins with the hello that was given as if it
// began with the one that was sent. The messages of a handshake do; what the
// PRF hashes begins with a block of its key.
type handshakeHash struct {
	hash.Hash
	of    *transcript
	begun bool
}

func (h *handshakeHash) Write(p []byte) (int, error) {
	n := len(p)
	if !h.begun && len(h.of.given) > 0 {
		if rest, ok := bytes.CutPrefix(p, h.of.given); ok {
			h.Hash.Write(h.of.sent)
			p = rest
		}
	}
	h.begun = true
	h.Hash.Write(p)
	return n, nil
}

func (h *handshakeHash) Reset() {
	h.begun = false
	h.Hash.Reset()
}
