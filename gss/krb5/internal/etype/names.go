package etype

import (
	"slices"
	"strings"
)

// families are the group names of krb5.conf, with their members in MIT's order
// of preference.
var families = map[string][]ID{
	"default":  {AES256CTSHMACSHA196, AES128CTSHMACSHA196, AES256CTSHMACSHA384192, AES128CTSHMACSHA256128},
	"aes":      {AES256CTSHMACSHA196, AES128CTSHMACSHA196, AES256CTSHMACSHA384192, AES128CTSHMACSHA256128},
	"des3":     {des3CBCSHA1},
	"rc4":      {arcfourHMAC},
	"camellia": {camellia256CTSCMAC, camellia128CTSCMAC},
}

// ParseNames reads an enctype list as krb5.conf has it in permitted_enctypes
// and its like: names, aliases and families ("aes", "rc4", "des3",
// "camellia", "DEFAULT"), in any case, separated by space or comma; "-name"
// takes away what stands in the list so far, "+name" is the same as "name".
// The order is kept, doubles and unknown words are ignored, as MIT krb5 does.
//
// The result holds whatever was selected, also enctypes that [Lookup] refuses,
// so that a caller can say which. DEFAULT means the four supported ones. An
// empty result is [ErrNoneNamed].
func ParseNames(s string) ([]ID, error) {
	var list []ID
	for word := range strings.FieldsFuncSeq(s, isSeparator) {
		name, remove := strings.CutPrefix(word, "-")
		if !remove {
			name = strings.TrimPrefix(name, "+")
		}
		for _, id := range named(strings.ToLower(name)) {
			i := slices.Index(list, id)
			switch {
			case remove && i >= 0:
				list = slices.Delete(list, i, i+1)
			case !remove && i < 0:
				list = append(list, id)
			}
		}
	}
	if len(list) == 0 {
		return nil, ErrNoneNamed
	}
	return list, nil
}

func isSeparator(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }

// named returns what a family or single name, in lower case, stands for.
func named(name string) []ID {
	if f, ok := families[name]; ok {
		return f
	}
	for _, n := range names {
		if slices.Contains(n.names, name) {
			return []ID{n.id}
		}
	}
	return nil
}
