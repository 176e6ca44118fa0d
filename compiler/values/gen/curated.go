// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

//go:embed types.txt
var typesText string

//go:embed moved.txt
var movedText string

// curated is what people wrote down about keys that charts do not say.
type curated struct {
	types []typeRule
	words []wordRule
	moved []movedRule
}

// typeRule gives keys a type in some minors.
type typeRule struct {
	line     int
	path     string
	from, to string // minors; "" is no bound
	typ      values.Type
	fold     bool
	note     string
}

// wordRule names a word that a key no longer takes.
type wordRule struct {
	line                 int
	path, word, to, note string
}

// movedRule tells of a key that is gone, renamed or deprecated.
type movedRule struct {
	line    int
	path    string
	to      []string
	effects []effectFrom
	note    string
}

// effectFrom is an effect that holds from a minor on; works is none.
type effectFrom struct {
	minor  string
	works  bool
	effect values.Effect
	note   string
}

func parseCurated(types, moved string) (*curated, error) {
	c := &curated{}
	var errs []error
	line := 0
	for text := range strings.Lines(types) {
		line++
		if err := c.addType(strings.TrimSpace(text), line); err != nil {
			errs = append(errs, fmt.Errorf("types.txt:%d: %w", line, err))
		}
	}
	line = 0
	for text := range strings.Lines(moved) {
		line++
		if err := c.addMoved(strings.TrimRight(text, "\n"), line); err != nil {
			errs = append(errs, fmt.Errorf("moved.txt:%d: %w", line, err))
		}
	}
	return c, errors.Join(errs...)
}

func (c *curated) addType(text string, line int) error {
	if text == "" || text[0] == '#' {
		return nil
	}
	text, note, _ := strings.Cut(text, " -- ")
	words := strings.Fields(text)
	if words[0] == "was" {
		if len(words) != 4 {
			return fmt.Errorf("want was PATH WORD TO")
		}
		to := words[3]
		if to == "-" {
			to = ""
		}
		c.words = append(c.words, wordRule{line, words[1], words[2], to, strings.TrimSpace(note)})
		return nil
	}
	if len(words) < 3 || len(words) > 4 || len(words) == 4 && words[3] != "fold" {
		return fmt.Errorf("want PATH MINORS TYPE [fold]")
	}
	typ, err := values.ParseType(words[2])
	if err != nil {
		return err
	}
	from, to, err := parseMinors(words[1])
	c.types = append(c.types, typeRule{line, words[0], from, to, typ, len(words) == 4, strings.TrimSpace(note)})
	return err
}

func parseMinors(text string) (from, to string, err error) {
	if text == "all" {
		return "", "", nil
	}
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		to = from
	}
	for _, minor := range []string{from, to} {
		if _, err := minorNumber(minor); err != nil && minor != "" {
			return "", "", err
		}
	}
	return from, to, nil
}

// minorNumber gives 17 for "1.17".
func minorNumber(minor string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(minor, "1."))
	if err != nil || !strings.HasPrefix(minor, "1.") {
		return 0, fmt.Errorf("%q is no minor of Cilium 1", minor)
	}
	return n, nil
}

func before(a, b string) bool {
	x, _ := minorNumber(a)
	y, _ := minorNumber(b)
	return x < y
}

func (r *typeRule) holds(minor string) bool {
	return (r.from == "" || !before(minor, r.from)) && (r.to == "" || !before(r.to, minor))
}

// covers tells whether the rule speaks of the key at path.
func (r *typeRule) covers(path string) bool {
	if suffix, ok := strings.CutPrefix(r.path, "**."); ok {
		return path == suffix || strings.HasSuffix(path, "."+suffix)
	}
	return path == r.path
}

func (c *curated) addMoved(text string, line int) error {
	words := strings.Fields(text)
	switch {
	case len(words) == 0 || words[0][0] == '#':
		return nil
	case text[0] != ' ':
		if slices.ContainsFunc(c.moved, func(r movedRule) bool { return r.path == text }) {
			return fmt.Errorf("%s stands twice", text)
		}
		c.moved = append(c.moved, movedRule{line: line, path: text})
		return nil
	case len(c.moved) == 0 || len(words) < 2:
		return fmt.Errorf("want a path, then to, MINOR or note below it")
	}
	r := &c.moved[len(c.moved)-1]
	switch words[0] {
	case "to":
		r.to = words[1:]
		return nil
	case "note":
		r.note = strings.Join(words[1:], " ")
		return nil
	}
	_, note, _ := strings.Cut(text, " -- ")
	e := effectFrom{minor: words[0], works: words[1] == "works", note: strings.TrimSpace(note)}
	_, err := minorNumber(e.minor)
	if !e.works {
		err = errors.Join(err, e.effect.UnmarshalText([]byte(words[1])))
	}
	r.effects = append(r.effects, e)
	return err
}

// effect gives what holds in the minor; false if the key works.
func (r *movedRule) effect(minor string) (effectFrom, bool) {
	var found effectFrom
	for _, e := range r.effects {
		if !before(minor, e.minor) {
			found = e
		}
	}
	return found, found.minor != "" && !found.works
}
