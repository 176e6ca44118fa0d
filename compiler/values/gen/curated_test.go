// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/values"
)

func TestParseCurated(t *testing.T) {
	cur, err := parseCurated("a.b 1.18..1.19 bool fold -- it breaks\nwas a.b x true -- long gone\n# comment\n",
		"k.l\n  to a b\n  1.17 deprecated -- soon\n  1.19 fails\n  note in general\n")
	if err != nil {
		t.Fatal(err)
	}
	r := cur.types[0]
	if !r.holds("1.18") || !r.holds("1.19") || r.holds("1.17") || r.holds("1.20") || !r.fold || r.note != "it breaks" {
		t.Errorf("the type is %+v", r)
	}
	if w := cur.words[0]; w.word != "x" || w.to != "true" || w.note != "long gone" {
		t.Errorf("the word is %+v", w)
	}
	m := cur.moved[0]
	if e, ok := m.effect("1.16"); ok {
		t.Errorf("1.16 has %v", e)
	}
	if e, ok := m.effect("1.18"); !ok || e.effect != values.Deprecated || e.minor != "1.17" || e.note != "soon" {
		t.Errorf("1.18 has %v", e)
	}
	if e, ok := m.effect("1.20"); !ok || e.effect != values.Fails || e.minor != "1.19" {
		t.Errorf("1.20 has %v", e)
	}
}

func TestCuratedCovers(t *testing.T) {
	for path, want := range map[string]bool{"labels": true, "a.labels": true, "a.mylabels": false, "labels.a": false} {
		if got := (&typeRule{path: "**.labels"}).covers(path); got != want {
			t.Errorf("%s: want %v", path, want)
		}
	}
}

// TestParseCuratedRefuses checks that every bad line is named, in one run.
func TestParseCuratedRefuses(t *testing.T) {
	_, err := parseCurated("a all\na all boolean\na 2.0 bool\nwas a b\n", "  to x\na\n  1.17 gone\n  x fails\na\n")
	for _, want := range []string{"types.txt:1:", "types.txt:2:", "types.txt:3:", "types.txt:4:", "moved.txt:1:", "moved.txt:3:", "moved.txt:4:", "moved.txt:5:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in\n%v", want, err)
		}
	}
}

func TestMinorsAreNumbers(t *testing.T) {
	if !before("1.9", "1.17") || before("1.17", "1.17") {
		t.Error("1.9 comes before 1.17")
	}
}
