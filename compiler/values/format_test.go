// SPDX-License-Identifier: Apache-2.0

package values

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const smallTable = `cilium values 1
chart	1.17.2	h1:x
[keys]
a	obj	!needed
a.b	bool	=true	!unread
a."c/d"	map(str)	={}	!loose
e	str("x","y")	="x"	!loose	!fold	!later=1.17.9
f	null|int	=null	!unchecked	!null-only
[moved]
a.b	deprecated	1.17	e,f	soon gone
g.h	fails-if-set	1.15	-	-
[words]
e	"z"	"x"	for a reason
[notes]
e	it does nothing
[options]
enable-b	a.b
`

func TestParseGivesBack(t *testing.T) {
	table, err := Parse(smallTable)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(smallTable, table.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	e, ok := table.Lookup("e")
	if !ok || !e.Fold || !e.Loose || e.Later != "1.17.9" || e.Note != "it does nothing" || e.Was["z"].To != `"x"` {
		t.Errorf("e is %+v", e)
	}
	if table.Minor != "1.17" || table.Chart != "1.17.2" || table.Sum != "h1:x" {
		t.Errorf("the chart is %s %s %s", table.Minor, table.Chart, table.Sum)
	}
}

// TestTablesAreCanonical holds the embedded tables to the text that String gives.
func TestTablesAreCanonical(t *testing.T) {
	for _, minor := range Minors() {
		name := filepath.Join("tables", minor+".txt")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table, err := Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if table.Minor != minor {
			t.Errorf("%s holds the table of %s", name, table.Minor)
		}
		if diff := cmp.Diff(string(text), table.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	head := "cilium values 1\nchart\t1.17.2\t-\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "no line that names the chart"},
		"other format":     {"cilium values 2\nchart\t1.17.2\t-\n", `want "cilium values 1"`},
		"no release":       {"cilium values 1\nchart\tlatest\t-\n", "want chart, a release"},
		"section":          {head + "[rows]\n", "unknown section [rows]"},
		"bad type":         {head + "[keys]\na\tboolean\n", `unknown kind "boolean"`},
		"no parent":        {head + "[keys]\na.b\tbool\n", "does not follow the key that holds it"},
		"parent no object": {head + "[keys]\na\tbool\na.b\tbool\n", "out of order"},
		"order":            {head + "[keys]\nb\tbool\na\tbool\n", "out of order"},
		"twice":            {head + "[keys]\na\tbool\na\tbool\n", "out of order"},
		"needless quotes":  {head + "[keys]\n\"a\"\tbool\n", "does not follow"},
		"bad default":      {head + "[keys]\na\tbool\t=tru\n", "neither a flag nor a default"},
		"bad flag":         {head + "[keys]\na\tbool\t!new\n", "neither a flag nor a default"},
		"empty later":      {head + "[keys]\na\tbool\t!later=\n", "names no release"},
		"columns":          {head + "[moved]\na\tignored\n", "want 5 columns, have 2"},
		"effect":           {head + "[moved]\na\tgone\t1.15\t-\t-\n", `unknown effect "gone"`},
		"moved twice":      {head + "[moved]\na\tignored\t1.15\t-\t-\na\tfails\t1.15\t-\t-\n", "moved twice"},
		"deprecated":       {head + "[moved]\na\tdeprecated\t1.15\t-\t-\n", "it is no key"},
		"note of nothing":  {head + "[notes]\na\tb\n", `no key "a"`},
		"word":             {head + "[keys]\na\tbool\n[words]\na\tb\t-\t-\n", "no quoted word"},
	} {
		_, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, have %v", name, c.want, err)
		}
	}
}

// TestParseNamesEveryLine checks that one bad line hides no other.
func TestParseNamesEveryLine(t *testing.T) {
	_, err := Parse("cilium values 1\nchart\t1.17.2\t-\n[keys]\na\tx\nb\ty\n[other]\n")
	for _, want := range []string{"line 4:", "line 5:", "line 6:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(smallTable)
	f.Add("cilium values 1\nchart\t1.2.3\t-\n[keys]\na\tobj\na.b\tany\t={\"x\":[1,null]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse(text)
		if err != nil {
			return
		}
		once := table.String()
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, once)
		}
		if twice := again.String(); twice != once {
			t.Fatalf("not stable (-want +got)\n%s", cmp.Diff(once, twice))
		}
		table.Check(FromData(table.Defaults()), Options{})
	})
}
