package krb5conf

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	errBoolean  = errors.New("invalid boolean value: write true or false")
	errInteger  = errors.New("invalid integer value")
	errDuration = errors.New("invalid duration: write seconds, such as 1d2h3m4s, or h:m:s")
)

// parseBool reads MIT's spellings of a boolean, in any case.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "y", "yes", "true", "t", "1", "on":
		return true, nil
	case "n", "no", "false", "nil", "0", "off":
		return false, nil
	}
	return false, errBoolean
}

func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(strings.Trim(s, space), 10, 32)
	if err != nil {
		return 0, errInteger
	}
	return int(n), nil
}

// parseDuration reads a duration as MIT's krb5_string_to_deltat does: seconds
// ("600"), units in the order d, h, m, s with none twice and blanks before numbers
// ("1d 10h30m"), hours with minutes and perhaps seconds ("10:30", "1:2:3"), or
// days before those ("1-02:03:04"). The sum must fit 32 bits of seconds.
func parseDuration(s string) (time.Duration, error) {
	p := durationParser{rest: s}
	total, ok := p.parse()
	if !ok || total > math.MaxInt32 || total < math.MinInt32 {
		return 0, errDuration
	}
	return time.Duration(total) * time.Second, nil
}

type durationParser struct{ rest string }

func (p *durationParser) parse() (int64, bool) {
	first, ok := p.number(true)
	if !ok {
		return 0, false
	}
	switch {
	case p.rest == "":
		return first, true
	case p.take('-'):
		hms, ok := p.clock(true)
		return first*86400 + hms, ok
	case p.take(':'):
		p2, ok := p.afterColon(true)
		return first*3600 + p2, ok
	}
	var total int64
	n := first
	for i, unit := range []struct {
		letter  byte
		seconds int64
	}{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}} {
		if !p.take(unit.letter) {
			if i == 3 {
				return 0, false
			}
			continue
		}
		total += n * unit.seconds
		if strings.Trim(p.rest, space) == "" {
			return total, true
		}
		if n, ok = p.number(true); !ok {
			return 0, false
		}
	}
	return 0, false
}

// clock reads "h:m:s".
func (p *durationParser) clock(seconds bool) (int64, bool) {
	h, ok := p.number(false)
	if !ok || !p.take(':') {
		return 0, false
	}
	rest, ok := p.afterColon(!seconds)
	return h*3600 + rest, ok
}

// afterColon reads "m" or "m:s" to the end; minutesOnly says whether the
// first will do.
func (p *durationParser) afterColon(minutesOnly bool) (int64, bool) {
	m, ok := p.number(false)
	if !ok {
		return 0, false
	}
	if p.rest == "" {
		return m * 60, minutesOnly
	}
	if !p.take(':') {
		return 0, false
	}
	s, ok := p.number(false)
	return m*60 + s, ok && p.rest == ""
}

func (p *durationParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// number reads digits; where signed is set also blanks and a minus before
// them. It fails on what 32 bits cannot hold, so that sums of a few products
// stay within 64.
func (p *durationParser) number(signed bool) (int64, bool) {
	negative := false
	if signed {
		p.rest = trimLeft(p.rest)
		negative = p.take('-')
	}
	end := 0
	for end < len(p.rest) && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(p.rest[:end], 10, 32)
	if err != nil {
		return 0, false
	}
	p.rest = p.rest[end:]
	if negative {
		n = -n
	}
	return n, true
}
