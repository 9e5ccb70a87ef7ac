package ccache

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// DefaultName gives the name of the cache that a user means who names none: env, the value of KRB5CCNAME, as it is; else
// configured, the value of default_ccache_name in krb5.conf; else FILE:/tmp/krb5cc_%{uid}. In the last two, %{uid}, %{USERID},
// %{euid}, %{username} (of the effective user), %{TEMP} ($TMPDIR, else /tmp) and %{null} (nothing) are replaced; any other
// name in %{...} is an error.
func DefaultName(env, configured string) (string, error) {
	switch {
	case env != "":
		return env, nil
	case configured != "":
		return Expand(configured)
	}
	return Expand("FILE:/tmp/krb5cc_%{uid}")
}

// Expand replaces the %{...} parameters that krb5.conf's values may have: see [DefaultName].
func Expand(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "%{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("variable missing } in %q", s)
		}
		value, err := parameter(name)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = after
	}
}

func parameter(name string) (string, error) {
	switch name {
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
	return "", fmt.Errorf("Invalid token %%{%s}", name)
}
