// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sample = List{
	{Code: "env/unknown-field", Path: "environment.naem", Message: `unknown field "naem"`, Hint: `did you mean "name"?`,
		Positions: []Position{{"a,b/dev:1.cue", 4, 2}, {"base.cue", 9, 0}}},
	{Code: "values/deprecated-key", Severity: Warning, Message: "100% gone\r\nsoon", Positions: []Position{{File: "x.cue"}}, URL: "https://example.com/x"},
	{Code: "values/allowed-key", Severity: Info, Message: "let pass <&>"},
}

func TestWriteText(t *testing.T) {
	const want = `a,b/dev:1.cue:4:2: error: environment.naem: unknown field "naem"; did you mean "name"? [env/unknown-field]
    also base.cue:9
x.cue: warning: 100% gone` + "\r\n" + `soon [values/deprecated-key]
    see https://example.com/x
info: let pass <&> [values/allowed-key]
`
	var b strings.Builder
	if err := sample.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The author's line stands below a finding, with a caret below its column; where
// there is no such file, line or column, there is as much as there can be.
func TestWriteExcerpts(t *testing.T) {
	files := map[string]string{"a.cue": "x: 1\n\tvalues: täglich: 5\r\n"}
	list := List{
		{Code: "a/b", Message: "one", Positions: []Position{{"a.cue", 2, 19}}},
		{Code: "a/b", Message: "no column", Positions: []Position{{"a.cue", 1, 0}}},
		{Code: "a/b", Message: "no such line", Positions: []Position{{"a.cue", 9, 1}}},
		{Code: "a/b", Message: "no such column", Positions: []Position{{"a.cue", 1, 99}}},
		{Code: "a/b", Message: "no such file", Positions: []Position{{"b.cue", 1, 1}}},
		{Code: "a/b", Message: "no place"},
	}
	const want = `a.cue:2:19: error: one [a/b]
     2 | 	values: täglich: 5
       | 	                ^
a.cue:1: error: no column [a/b]
     1 | x: 1
a.cue:9:1: error: no such line [a/b]
a.cue:1:99: error: no such column [a/b]
     1 | x: 1
b.cue:1:1: error: no such file [a/b]
error: no place [a/b]
`
	var b strings.Builder
	err := list.WriteExcerpts(&b, false, func(file string) ([]byte, error) {
		if text, ok := files[file]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Colours add nothing but colours.
func TestWriteTextInColour(t *testing.T) {
	var plain, coloured strings.Builder
	if err := errors.Join(sample.WriteText(&plain, false), sample.WriteText(&coloured, true)); err != nil {
		t.Fatal(err)
	}
	if plain.String() == coloured.String() {
		t.Error("no colours")
	}
	stripped := strings.NewReplacer(bold, "", red, "", yellow, "", blue, "", reset, "").Replace(coloured.String())
	if diff := cmp.Diff(plain.String(), stripped); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteGitHub(t *testing.T) {
	const want = `::error file=a%2Cb/dev%3A1.cue,line=4,col=2,title=env/unknown-field::environment.naem: unknown field "naem"; did you mean "name"?
::warning file=x.cue,line=1,title=values/deprecated-key::100%25 gone%0D%0Asoon
::notice title=values/allowed-key::let pass <&>
`
	var b strings.Builder
	if err := sample.WriteGitHub(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// JSON says everything, and reads back.
func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b.Bytes(), []byte("<&>")) {
		t.Errorf("HTML is escaped:\n%s", &b)
	}
	var got Report
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample.Report(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Counts != (Counts{1, 1, 1}) || sample[2].Positions != nil {
		t.Errorf("counts %+v, the list's own positions %v", got.Counts, sample[2].Positions)
	}
	b.Reset()
	if err := List(nil).WriteJSON(&b); err != nil || !bytes.Contains(b.Bytes(), []byte(`"diagnostics": []`)) {
		t.Errorf("an empty list is %s, %v", &b, err)
	}
}

func TestSort(t *testing.T) {
	a := Diagnostic{Code: "a", Positions: []Position{{"a.cue", 10, 1}}}
	b := Diagnostic{Code: "b", Positions: []Position{{"a.cue", 9, 1}}}
	c := Diagnostic{Code: "c"}
	if diff := cmp.Diff(List{c, b, a}, List{a, b, a, c}.Sort()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSeverityText(t *testing.T) {
	for s := Error; s <= Info; s++ {
		var got Severity
		if err := got.UnmarshalText([]byte(s.String())); err != nil || got != s {
			t.Errorf("%v reads back as %v, %v", s, got, err)
		}
	}
	var s Severity
	if err := s.UnmarshalText([]byte("fatal")); err == nil || err.Error() != `unknown severity "fatal": want one of error, warning, info` {
		t.Error(err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"name", "platform", "port", "host", "hostPort", "kubeProxyReplacement"}
	for word, want := range map[string]string{
		"naem": "name", "NAME": "name", "plattform": "platform", "kubeproxyreplacement": "kubeProxyReplacement",
		"kubeProxyReplacment": "kubeProxyReplacement", "hots": "host", "prot": "port", "x": "", "": "", "values": "", "größe": "",
	} {
		got, ok := Nearest(word, names)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", word, got, ok, want)
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add("naem", "name")
	f.Fuzz(func(t *testing.T, a, b string) {
		if same := a; distance(same, a) != 0 {
			t.Errorf("%q is not itself", a)
		}
		if x, y := distance(a, b), distance(b, a); x != y || x > max(len([]rune(a)), len([]rune(b))) {
			t.Errorf("%q, %q: %d and %d", a, b, x, y)
		}
	})
}
