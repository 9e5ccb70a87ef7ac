package push_test

import (
	"fmt"
	"strings"
)

func sprint(a ...any) string { return strings.TrimSuffix(fmt.Sprintln(a...), "\n") }
