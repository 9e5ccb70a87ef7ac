package kmsg

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestKeysAreNotPrinted(t *testing.T) {
	key := EncryptionKey{18, []byte("Very*Secret")}
	holders := []any{
		key, &key, []EncryptionKey{key},
		EncTicketPart{Key: key}, &EncTicketPart{Key: key},
		Authenticator{SubKey: &key}, &EncAPRepPart{SubKey: &key},
		EncKRBCredPart{TicketInfo: []KRBCredInfo{{Key: key}}},
	}
	for _, h := range holders {
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U"} {
			fmt.Fprintf(&printed, verb+"\n", h)
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		printed.Write(text)
		for _, secret := range []string{"Very", "VmVyeS", "56657279", "86, 101", "86 101", "0x56"} {
			if strings.Contains(strings.ToUpper(printed.String()), strings.ToUpper(secret)) {
				t.Errorf("%T shows its key:\n%s", h, printed.String())
			}
		}
	}
	if got := fmt.Sprintf("%v %s", key, key.GoString()); got != "EncryptionKey(enctype 18) EncryptionKey(enctype 18)" {
		t.Error(got)
	}
	if text, _ := json.Marshal(key); string(text) != `{"Type":18}` {
		t.Errorf("%s", text)
	}
}

func TestClear(t *testing.T) {
	der, err := (&EncAPRepPart{CTime: noon, SubKey: &aKey}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseEncAPRepPart(der)
	if err != nil {
		t.Fatal(err)
	}
	m.SubKey.Clear()
	if !bytes.Equal(m.SubKey.Value, make([]byte, 32)) || bytes.Contains(der, aKey.Value[:4]) {
		t.Errorf("the key is still there: %x", der)
	}
}

// An empty list is written as no list, and read as such.
func TestEmptyListIsAbsent(t *testing.T) {
	der := application(2, field(0, integer(5)), field(1, general("R")), field(2, seq(field(0, integer(1)), field(1, seq(general("a"))))),
		field(4, integer(0)), field(5, gtime("20261122120000Z")), field(8, seq()))
	a, err := ParseAuthenticator(der)
	if err != nil || len(a.AuthorizationData) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	again, err := a.Append(nil)
	if want := len(der) - len(field(8, seq())); err != nil || len(again) != want {
		t.Errorf("%d bytes, %v; want %d", len(again), err, want)
	}
}
