// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"strconv"
	"strings"
)

// Share is a number of something, or a percentage of all there is. Its JSON is a
// number, or a text such as "5%". The zero value is none.
type Share struct {
	Count   int
	Percent bool
}

// IsZero tells that it is none.
func (s Share) IsZero() bool { return s.Count == 0 }

// Of is how many that is of a total: of a percentage what is whole.
func (s Share) Of(total int) int {
	if s.Percent {
		return total * s.Count / 100
	}
	return s.Count
}

func (s Share) String() string {
	if s.Percent {
		return strconv.Itoa(s.Count) + "%"
	}
	return strconv.Itoa(s.Count)
}

// MarshalJSON gives a number, or a text with a percent sign.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Percent {
		return []byte(strconv.Quote(s.String())), nil
	}
	return []byte(s.String()), nil
}

// UnmarshalJSON accepts exactly what MarshalJSON gives.
func (s *Share) UnmarshalJSON(data []byte) error {
	text := string(data)
	number, percent := text, false
	if quoted, err := strconv.Unquote(text); err == nil && strings.HasPrefix(text, `"`) {
		if number, percent = strings.CutSuffix(quoted, "%"); !percent {
			return fmt.Errorf("%s: want a number, or a percentage such as \"5%%\"", text)
		}
	}
	count, err := strconv.ParseUint(number, 10, 31)
	if err != nil || percent && count > 100 || strconv.FormatUint(count, 10) != number {
		return fmt.Errorf("%s: want a number, or a percentage such as \"5%%\", 0 to 100", text)
	}
	*s = Share{int(count), percent}
	return nil
}
