// SPDX-License-Identifier: Apache-2.0

package cuetext

import (
	"testing"

	"cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/values"
)

func TestEnvironmentIsWrittenAsAnAuthorWould(t *testing.T) {
	node, list := values.FromYAML("in.yaml", []byte(`name: dev
chart: {version: 1.17.2}
# the API server,
#  by its name
api:
  host: dev
  port: 6443
values:
  # said once
  kubeProxyReplacement: true
  ipam: {operator: {clusterPoolIPv4PodCIDRList: [10.0.0.0/8]}}
  _hidden: 1
  '#def': -1.5
  a b: {}
  "": []
  if: null
  é: "x\\(y)\"z"
  text: |
    one
      two
  deep: {one: {text: "a\nb"}}
  tolerations: [{operator: Exists}, {key: a, effect: b}]
  nested: [[1, 2], []]
  lines: ["a\nb\n"]
`))
	if len(list) > 0 {
		t.Fatal(list)
	}
	got, err := Environment(node)
	if err != nil {
		t.Fatal(err)
	}
	want := `package environments

import "plumbline.dev/plumbline/schema"

environment: schema.#Environment & {
	name: "dev"
	chart: version: "1.17.2"
	// the API server,
	// by its name
	api: {
		host: "dev"
		port: 6443
	}
	values: {
		// said once
		kubeProxyReplacement: true
		ipam: operator: clusterPoolIPv4PodCIDRList: ["10.0.0.0/8"]
		"_hidden": 1
		"#def":    -1.5
		"a b": {}
		"": []
		if: null
		é:  "x\\(y)\"z"
		text: """
			one
			  two

			"""
		deep: one: text: """
			a
			b
			"""
		tolerations: [
			{
				operator: "Exists"
			},
			{
				key:    "a"
				effect: "b"
			},
		]
		nested: [
			[1, 2],
			[],
		]
		lines: [
			"""
				a
				b

				""",
		]
	}
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := format.Source(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(again)); diff != "" {
		t.Errorf("it is not as cue fmt has it (-written +formatted):\n%s", diff)
	}
}

func TestWhatHasNoForm(t *testing.T) {
	object := func(name string, n values.Node) values.Node {
		return values.Node{Kind: values.Object, Fields: []values.Field{{Name: name, Value: n}}}
	}
	for want, n := range map[string]values.Node{
		"a can't be written in CUE: it has no value":             object("a", values.Node{}),
		"a can't be written in CUE: the string is not UTF-8":     object("a", values.Node{Kind: values.String, Scalar: "\xff"}),
		` can't be written in CUE: the name "\xff" is not UTF-8`: object("\xff", values.Node{Kind: values.Null}),
	} {
		if _, err := Environment(n); err == nil || err.Error() != want {
			t.Errorf("want %s, have %v", want, err)
		}
	}
}
