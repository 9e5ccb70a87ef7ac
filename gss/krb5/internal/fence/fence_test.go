package fence_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/countersign-go/countersign/gss/krb5/internal/fence"
)

func TestRun(t *testing.T) {
	// gokrb5 panics on a ciphertext that is shorter than its MAC.
	err := fence.Run(func() error {
		key := types.EncryptionKey{KeyType: 18, KeyValue: make([]byte, 32)}
		_, err := crypto.DecryptEncPart(types.EncryptedData{EType: 18, Cipher: []byte("short")}, key, 3)
		return err
	})
	if err == nil || !strings.HasPrefix(err.Error(), "message is malformed: ") {
		t.Errorf("gokrb5's panic became %v", err)
	}
	own := errors.New("own")
	if err := fence.Run(func() error { return own }); err != own {
		t.Errorf("its own error became %v", err)
	}
	if err := fence.Run(func() error { return nil }); err != nil {
		t.Errorf("success became %v", err)
	}
}
