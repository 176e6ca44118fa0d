// SPDX-License-Identifier: Apache-2.0

package values

import (
	_ "embed"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"plumbline.dev/plumbline/compiler/diag"
)

// behaviourText is what people wrote down. See the head of the file.
//
//go:embed behaviour.txt
var behaviourText string

var behaviours = sync.OnceValues(func() ([]Behaviour, error) { return parseBehaviours(behaviourText) })

// Behaviour is what Cilium does otherwise from a minor on although the key, and
// what it takes, are the same.
type Behaviour struct {
	Minor string
	// Key is the one whose default changes; "" where none does.
	Key      string
	Severity diag.Severity
	Text     string

	all, any []condition
}

// condition asks for a value, or any at all.
type condition struct {
	names []string
	value any
	given bool // false asks for any value
}

// Behaviours gives what changes on the way from a chart minor to a later one, in
// the order of the minors; nothing on the way back.
func Behaviours(from, to string) ([]Behaviour, error) {
	list, err := behaviours()
	if err != nil {
		return nil, fmt.Errorf("table of behaviours: %w", err)
	}
	var out []Behaviour
	for _, b := range list {
		if CompareVersions(from, b.Minor) < 0 && CompareVersions(b.Minor, to) <= 0 {
			out = append(out, b)
		}
	}
	return out, nil
}

// Concerns tells whether the change is one for values, in the form of Node.Data.
// merged are the values over the defaults of the chart that is gone to.
func (b *Behaviour) Concerns(values, merged map[string]any) bool {
	if b.Key != "" && !AtDefault(values, b.Key) {
		return false
	}
	for _, c := range b.all {
		if !c.holds(merged) {
			return false
		}
	}
	met := len(b.any) == 0
	for _, c := range b.any {
		met = met || c.holds(merged)
	}
	return met
}

func (c condition) holds(merged map[string]any) bool {
	v := find(merged, c.names)
	if !c.given {
		return v != nil
	}
	n := FromData(v)
	return reflect.DeepEqual(n.Data(), c.value)
}

// find gives what lies under names; nil where nothing does.
func find(values map[string]any, names []string) any {
	var v any = values
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// AtDefault tells whether values, in the form of Node.Data, leave a key at the
// chart's default: they state neither it, nor anything below it or in its place.
func AtDefault(values map[string]any, path string) bool {
	names, err := Split(path)
	if err != nil {
		return false
	}
	var v any = values
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = object[name]; !ok {
			return true
		}
	}
	return false
}

// parseBehaviours reads the form of behaviour.txt. It reports every bad line.
func parseBehaviours(text string) ([]Behaviour, error) {
	var list []Behaviour
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		entry, ok := strings.CutPrefix(line, "  ")
		if !ok {
			minor, key, _ := strings.Cut(line, " ")
			list = append(list, Behaviour{Minor: minor, Key: key, Severity: diag.Warning})
			continue
		}
		err := errors.New("no minor above it")
		if len(list) > 0 {
			err = list[len(list)-1].add(entry)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
		}
	}
	for _, b := range list {
		if _, ok := minorOf(b.Minor); !ok || b.Text == "" {
			errs = append(errs, fmt.Errorf("%s %s: want a minor and a text", b.Minor, b.Key))
		}
	}
	return list, errors.Join(errs...)
}

// add reads a line below a minor.
func (b *Behaviour) add(entry string) error {
	word, rest, _ := strings.Cut(entry, " ")
	switch word {
	case "text":
		b.Text = rest
		return nil
	case "severity":
		return b.Severity.UnmarshalText([]byte(rest))
	}
	conditions, ok := map[string]*[]condition{"all": &b.all, "any": &b.any}[word]
	if !ok {
		return fmt.Errorf("unknown word %q", word)
	}
	path, value, given := strings.Cut(rest, " ")
	names, err := Split(path)
	if err != nil {
		return err
	}
	c := condition{names: names, given: given}
	if given {
		if c.value, err = decodeJSON(value); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	*conditions = append(*conditions, c)
	return nil
}
