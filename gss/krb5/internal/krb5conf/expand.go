package krb5conf

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

var errVariable = errors.New("variable missing }")

// expandTokens replaces %{...} in names of keytabs and caches. The variables
// are those of MIT's library on Unix, without the directories that it was
// built with.
func expandTokens(s string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		token, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errVariable
		}
		v, err := expandToken(token)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		s = rest
	}
}

func expandToken(token string) (string, error) {
	switch token {
	case "uid", "USERID":
		return strconv.Itoa(os.Getuid()), nil
	case "euid":
		return strconv.Itoa(os.Geteuid()), nil
	case "username":
		u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
		if err != nil {
			//lint:ignore ST1005 MIT's words
			return "", fmt.Errorf("Can't find username for uid %d: %w", os.Geteuid(), err)
		}
		return u.Username, nil
	case "TEMP":
		if dir := os.Getenv("TMPDIR"); dir != "" {
			return dir, nil
		}
		return "/tmp", nil
	case "null":
		return "", nil
	}
	//lint:ignore ST1005 MIT's words
	return "", fmt.Errorf("Invalid token %%{%s}", token)
}
