// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A table's text, line by line:
//
//	cilium values 1
//	chart<TAB>1.17.2<TAB>h1:…
//	[keys]
//	PATH<TAB>TYPE[<TAB>=DEFAULT][<TAB>!FLAG]…
//	[moved]
//	PATH<TAB>EFFECT<TAB>SINCE<TAB>TO,TO<TAB>NOTE
//	[words]
//	PATH<TAB>WORD<TAB>TO<TAB>NOTE
//	[notes]
//	PATH<TAB>NOTE
//	[options]
//	NAME<TAB>PATH,PATH
//
// Keys stand parents first, siblings by name. DEFAULT is JSON on one line.
// What is empty stands as "-". A line that starts with # is a comment.

const formatLine = "cilium values 1"

const (
	flagUnchecked = "!unchecked"
	flagLoose     = "!loose"
	flagNullOnly  = "!null-only"
	flagUnread    = "!unread"
	flagNeeded    = "!needed"
	flagFold      = "!fold"
	flagLater     = "!later=" // the release
)

// parser holds a table while its text is read.
type parser struct {
	table *Table
	types map[string]Type
	stack []*Key
	errs  []error
	line  int
	slab  []Key
}

// Parse reads what Table.String gives. It reports every bad line.
func Parse(text string) (*Table, error) {
	p := &parser{
		table: &Table{root: &Key{known: true, Type: Type{Kinds: Of(Object), Closed: true}}, options: map[string][]string{}, index: &leafIndex{}, defaults: &defaults{}},
		types: map[string]Type{},
		slab:  make([]Key, 0, strings.Count(text, "\n")),
	}
	p.stack = []*Key{p.table.root}
	section := ""
	for rest := text; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		p.line++
		switch {
		case line == "" || line[0] == '#':
		case p.line == 1:
			p.check(line == formatLine, "want %q, have %q", formatLine, line)
		case line[0] == '[':
			section = line
			p.check(slices.Contains(sections, section), "unknown section %s", section)
		default:
			p.row(section, line)
		}
	}
	p.check(p.table.Minor != "", "no line that names the chart")
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.table, nil
}

var sections = []string{"[keys]", "[moved]", "[words]", "[notes]", "[options]"}

func (p *parser) check(ok bool, format string, args ...any) bool {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("line %d: "+format, append([]any{p.line}, args...)...))
	}
	return ok
}

func (p *parser) row(section, line string) {
	if section == "[keys]" {
		p.key(line)
		return
	}
	columns := strings.Split(line, "\t")
	want := map[string]int{"": 3, "[moved]": 5, "[words]": 4, "[notes]": 2, "[options]": 2}[section]
	if !p.check(len(columns) == want, "want %d columns, have %d", want, len(columns)) {
		return
	}
	for i, c := range columns {
		if c == "-" {
			columns[i] = ""
		}
	}
	switch section {
	case "":
		p.chart(columns)
	case "[moved]":
		p.moved(columns)
	case "[words]":
		p.word(columns)
	case "[notes]":
		if k := p.find(columns[0]); k != nil {
			k.Note = columns[1]
		}
	case "[options]":
		p.table.options[columns[0]] = strings.Split(columns[1], ",")
	}
}

func (p *parser) chart(columns []string) {
	t := p.table
	t.Chart, t.Sum = columns[1], columns[2]
	minor, ok := minorOf(t.Chart)
	t.Minor = minor
	p.check(columns[0] == "chart" && ok, "want chart, a release and its checksum")
}

func (p *parser) key(line string) {
	path, rest, _ := strings.Cut(line, "\t")
	text, rest, more := strings.Cut(rest, "\t")
	typ, ok := p.types[text]
	if !ok {
		var err error
		typ, err = ParseType(text)
		if !p.check(err == nil, "%v", err) {
			return
		}
		p.types[text] = typ
	}
	k := p.add(path)
	if k == nil {
		return
	}
	k.Type = typ
	for more {
		var column string
		column, rest, more = strings.Cut(rest, "\t")
		p.mark(k, column)
	}
}

// add appends a key to its parent, which stands on the stack.
func (p *parser) add(path string) *Key {
	top := p.stack[len(p.stack)-1]
	for len(p.stack) > 1 && !below(path, top.Path) {
		p.stack = p.stack[:len(p.stack)-1]
		top = p.stack[len(p.stack)-1]
	}
	rest := path
	if top.Path != "" {
		rest = path[len(top.Path)+1:]
	}
	name, after, err := cutName(rest)
	if !p.check(err == nil && after == "" && isQuoted(rest) != isIdentifier(name), "%q does not follow the key that holds it", path) {
		return nil
	}
	ordered := len(top.children) == 0 || top.children[len(top.children)-1].name < name
	if !p.check(ordered && top.isObject(), "%q is out of order", path) {
		return nil
	}
	p.slab = append(p.slab, Key{Path: path, name: name, known: true})
	k := &p.slab[len(p.slab)-1]
	top.children = append(top.children, k)
	p.stack = append(p.stack, k)
	return k
}

// below tells whether path lies under the key at top.
func below(path, top string) bool {
	return len(path) > len(top) && path[len(top)] == '.' && path[:len(top)] == top
}

func (p *parser) mark(k *Key, column string) {
	switch column {
	case flagUnchecked:
		k.Unchecked = true
	case flagLoose:
		k.Loose = true
	case flagNullOnly:
		k.NullOnly = true
	case flagUnread:
		k.Unread = true
	case flagNeeded:
		k.Needed = true
	case flagFold:
		k.Fold = true
	default:
		if later, ok := strings.CutPrefix(column, flagLater); ok {
			k.Later = later
			p.check(later != "", "!later names no release")
			return
		}
		k.def, k.hasDefault = strings.CutPrefix(column, "=")
		p.check(k.hasDefault && json.Valid([]byte(k.def)), "%q is neither a flag nor a default", column)
	}
}

func (p *parser) find(path string) *Key {
	names, err := Split(path)
	k := p.table.root
	for i := 0; err == nil && k != nil && i < len(names); i++ {
		k = k.child(names[i])
	}
	if !p.check(err == nil && k != nil, "no key %q", path) {
		return nil
	}
	return k
}

func (p *parser) moved(columns []string) {
	m := &Moved{Since: columns[2], Note: columns[4]}
	if columns[3] != "" {
		m.To = strings.Split(columns[3], ",")
	}
	err := m.Effect.UnmarshalText([]byte(columns[1]))
	if !p.check(err == nil, "%v", err) {
		return
	}
	if k := p.place(columns[0]); k != nil {
		p.check(k.Moved == nil, "%q moved twice", k.Path)
		p.check(k.known || m.Effect != Deprecated, "%q cannot be %s: it is no key", k.Path, m.Effect)
		k.Moved = m
	}
}

// place finds a key or makes it, with those that hold it.
func (p *parser) place(path string) *Key {
	names, err := Split(path)
	if !p.check(err == nil, "%v", err) {
		return nil
	}
	k := p.table.root
	for _, name := range names {
		next := k.child(name)
		if next == nil {
			next = &Key{Path: Join(k.Path, name), name: name}
			i, _ := slices.BinarySearchFunc(k.children, name, func(c *Key, name string) int {
				return strings.Compare(c.name, name)
			})
			k.children = slices.Insert(k.children, i, next)
		}
		k = next
	}
	return k
}

func (p *parser) word(columns []string) {
	word, err := strconv.Unquote(columns[1])
	k := p.find(columns[0])
	if !p.check(err == nil, "%s is no quoted word", columns[1]) || k == nil {
		return
	}
	if k.Was == nil {
		k.Was = map[string]Was{}
	}
	k.Was[word] = Was{To: columns[2], Note: columns[3]}
}

// String gives the canonical text: Parse(t.String()) equals t.
func (t *Table) String() string {
	var b strings.Builder
	row := func(columns ...string) {
		for i, c := range columns {
			if c == "" {
				columns[i] = "-"
			}
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	b.WriteString(formatLine + "\n")
	row("chart", t.Chart, t.Sum)
	keys := t.Keys()
	b.WriteString("[keys]\n")
	for _, k := range keys {
		if k.known {
			row(k.columns()...)
		}
	}
	b.WriteString("[moved]\n")
	for _, k := range keys {
		if m := k.Moved; m != nil {
			row(k.Path, m.Effect.String(), m.Since, strings.Join(m.To, ","), m.Note)
		}
	}
	b.WriteString("[words]\n")
	for _, k := range keys {
		for _, w := range sortedNames(k.Was) {
			row(k.Path, strconv.Quote(w), k.Was[w].To, k.Was[w].Note)
		}
	}
	b.WriteString("[notes]\n")
	for _, k := range keys {
		if k.Note != "" {
			row(k.Path, k.Note)
		}
	}
	b.WriteString("[options]\n")
	for _, name := range t.Options() {
		row(name, strings.Join(t.options[name], ","))
	}
	return b.String()
}

func (k *Key) columns() []string {
	columns := []string{k.Path, k.Type.String()}
	if k.hasDefault {
		columns = append(columns, "="+k.def)
	}
	for _, f := range []struct {
		set  bool
		name string
	}{
		{k.Unchecked, flagUnchecked}, {k.Loose, flagLoose}, {k.NullOnly, flagNullOnly}, {k.Unread, flagUnread}, {k.Needed, flagNeeded}, {k.Fold, flagFold},
	} {
		if f.set {
			columns = append(columns, f.name)
		}
	}
	if k.Later != "" {
		columns = append(columns, flagLater+k.Later)
	}
	return columns
}
