package krb5

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExpandTransited has the examples of RFC 4120, section 3.3.3.2, and the
// forms that they leave out.
func TestExpandTransited(t *testing.T) {
	tests := []struct {
		list, client, server string
		want                 string // blank-separated; "-" for a malformed list
	}{
		{"EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.", "A", "B", "EDU MIT.EDU ATHENA.MIT.EDU WASHINGTON.EDU CS.WASHINGTON.EDU"},
		{"/COM,/HP,/APOLLO, /COM/DEC", "A", "B", "/COM /COM/HP /COM/HP/APOLLO /COM/DEC"},
		{"EDU,MIT.,WASHINGTON.EDU", "A", "B", "EDU MIT.EDU WASHINGTON.EDU"},
		{",EDU", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", "EDU MIT.EDU"},
		{"EDU,", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", "EDU WASHINGTON.EDU"},
		{",EDU,", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", "EDU MIT.EDU WASHINGTON.EDU"},
		{"/COM,,/COM/HP/APOLLO", "A", "B", "/COM /COM/COM/HP/APOLLO /COM/COM /COM/COM/HP"},
		{"/COM,, /COM/HP/APOLLO", "A", "B", "/COM /COM/HP/APOLLO -"}, // alone, so with no neighbour
		{`A\,B,C\\D,E\.`, "A", "B", `A,B C\D E.C\D`},
		{`A\`, "A", "B", "A"},
		{"C, D.", "A", "B", "C D."},
		{",", "A.B.C", "C", "B.C"},
		{",", "A.B.C", "D.B.C", "-"},
		{",", "A.B", "C.D.E", "-"},
		{",", "/A/B", "A", "-"},
		{",", "/A", "/A/B/C", "/A/B"},
		{strings.Repeat("A", 512), "A", "B", "-"},
		{strings.Repeat("A", 300) + "," + strings.Repeat("B", 300) + ".", "A", "B", strings.Repeat("A", 300) + " -"},
	}
	for _, tt := range tests {
		var got []string
		if err := expandTransited([]byte(tt.list), tt.client, tt.server, func(realm []byte) error {
			got = append(got, string(realm))
			return nil
		}); err != nil {
			got = append(got, "-")
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q from %s to %s: %q, want %q", tt.list, tt.client, tt.server, s, tt.want)
		}
	}
}

// TestCheckTransitedList has what krb5_check_transited_list of MIT krb5 1.20.1
// answered with the same krb5.conf. Sixty thousand random lists agreed too.
func TestCheckTransitedList(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[capaths]\nONE = {\n TWO = MID\n TWO = MID2\n THREE = .\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	profile, err := ReadProfile(conf)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		list, client, server string
		good                 bool
	}{
		{"", "A", "A", true},
		{"\x00", "A", "A", true},
		{"X", "A", "A", false},
		{"B.C", "A.B.C", "D.B.C", true},
		{"B.C\x00", "A.B.C", "D.B.C", true},
		{"C", "A.B.C", "D.B.C", false},
		{"A.B.C", "A.B.C", "D.B.C", true},
		{"D.B.C", "A.B.C", "D.B.C", false},
		{",", "A.B.C", "D.B.C", false},
		{",", "A.B.C", "C", true},
		{"COM", "A.COM", "B.COM", true},
		{"EDU,MIT.", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", true},
		{"EDU,WASHINGTON.", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", true},
		{",EDU,", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", true},
		{"EVIL.EDU", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", false},
		{"B.C,C,Y", "A.B.C", "X.Y", true},
		{"MID", "ONE", "TWO", true},
		{"MID,MID2", "ONE", "TWO", true},
		{"MID2,MID", "ONE", "TWO", true},
		{"MID3", "ONE", "TWO", false},
		{"MID", "TWO", "ONE", false},
		{"MID", "ONE", "THREE", false},
		{"A.", "A.", "B.", true},
	}
	for _, tt := range tests {
		err := checkTransitedList([]byte(tt.list), tt.client, tt.server, profile.realmPath(tt.client, tt.server))
		if (err == nil) != tt.good {
			t.Errorf("%q from %s to %s: %v", tt.list, tt.client, tt.server, err)
		}
	}
}

func FuzzTransited(f *testing.F) {
	f.Add("EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.", "A", "B")
	f.Add(",/COM,/HP,, /COM/DEC\\", "/COM/HP/APOLLO", "/COM")
	f.Fuzz(func(t *testing.T, list, client, server string) {
		var realms []string
		err := expandTransited([]byte(list), client, server, func(realm []byte) error {
			if len(realm) == 0 || len(realm) > max(maxRealm+1, len(client), len(server)) {
				t.Fatalf("realm %q", realm)
			}
			realms = append(realms, string(realm))
			return nil
		})
		// A list of complete names, each alone, stands for those names.
		if err != nil || slices.Contains(realms, client) {
			return
		}
		var plain []string
		for _, r := range realms {
			plain = append(plain, " "+strings.NewReplacer(`\`, `\\`, ",", `\,`, " ", `\ `).Replace(r))
		}
		if len(plain) == 0 || slices.ContainsFunc(realms, func(r string) bool { return len(r) > maxRealm }) {
			return
		}
		var again []string
		if err := expandTransited([]byte(strings.Join(plain, ",")), client, server, func(realm []byte) error {
			again = append(again, string(realm))
			return nil
		}); err != nil || !slices.Equal(realms, again) {
			t.Fatalf("%q became %q: %v", realms, again, err)
		}
	})
}
