// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// mostNear is how many versions are shown of those that there are.
const mostNear = 6

// near lists the versions around the one that is not there, in order.
func near(version string, have []string) string {
	var list []*semver.Version
	for _, text := range have {
		if v, err := semver.NewVersion(text); err == nil {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, (*semver.Version).Compare)
	if len(list) == 0 {
		return "no version"
	}
	at := len(list)
	if want, err := semver.NewVersion(version); err == nil {
		at, _ = slices.BinarySearchFunc(list, want, (*semver.Version).Compare)
	}
	from := min(max(0, at-mostNear/2), max(0, len(list)-mostNear))
	shown := list[from:min(len(list), from+mostNear)]
	names := make([]string, len(shown))
	for i, v := range shown {
		names[i] = v.Original()
	}
	text := strings.Join(names, ", ")
	if left := len(list) - len(shown); left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	return text
}
