// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"regexp"
)

// Effective gives values, in the form of Node.Data, as the chart's templates see
// them: merged over the defaults, and a text that says true, false or an integer
// read as one where the chart takes one. Templates compare such texts as if they
// were not quoted.
func (t *Table) Effective(values map[string]any) map[string]any {
	merged := t.Merge(values)
	t.root.read(merged)
	return merged
}

var integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// read goes through an object of which the key tells the types.
func (k *Key) read(object map[string]any) {
	for name, v := range object {
		child := k.child(name)
		if child == nil {
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			child.read(v)
		case string:
			object[name] = child.Type.read(v)
		}
	}
}

func (t Type) read(s string) any {
	switch {
	case t.Kinds.Has(Bool) && (s == "true" || s == "false"):
		return s == "true"
	case t.Kinds.Has(Int) && integer.MatchString(s):
		return json.Number(s)
	}
	return s
}
