// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"testing"
)

// A share is read as it is written, and counts what is whole of a total.
func TestShare(t *testing.T) {
	for text, want := range map[string]int{`0`: 0, `3`: 3, `"0%"`: 0, `"1%"`: 1, `"50%"`: 75, `"100%"`: 150} {
		var s Share
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := s.Of(150); got != want {
			t.Errorf("%s of 150 is %d, want %d", text, got, want)
		}
		if data, err := json.Marshal(s); err != nil || string(data) != text {
			t.Errorf("%s is written as %s, %v", text, data, err)
		}
	}
	for _, text := range []string{`-1`, `"5"`, `"101%"`, `"%"`, `1.5`, `"-1%"`, `"01%"`, `"1.5%"`, `true`, `null`, `""`} {
		if err := new(Share).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
