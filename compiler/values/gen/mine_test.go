// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mined is a Usage with its sets as sorted words.
type mined struct{ Read, Refused, Whole, Walked, Needed, Options string }

func words(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " ") }

func TestMine(t *testing.T) {
	for name, c := range map[string]struct {
		templates map[string]string
		want      mined
	}{
		"fields and dollars": {
			map[string]string{"a.yaml": `{{ .Values.a.b }}{{ range .Values.l }}{{ .x }}{{ $.Values.c }}{{ end }}`},
			mined{Read: "a a.b c l l.*.x", Walked: "l", Needed: "a l.*"},
		},
		"with and whole": {
			map[string]string{"a.yaml": `{{ with .Values.a.b }}{{ toYaml . }}{{ else }}{{ .Values.c }}{{ end }}`},
			mined{Read: "a a.b c", Whole: "a.b", Needed: "a"},
		},
		"aliases": {
			map[string]string{"a.yaml": `{{ $s := coalesce .Values.new .Values.old }}{{ if $s }}{{ if hasKey $s "x" }}{{ $s.y }}{{ end }}{{ end }}`},
			mined{Read: "new new.x new.y old old.x old.y"},
		},
		"assignment joins": {
			map[string]string{"a.yaml": `{{ $v := .Values.a }}{{ if .Values.c }}{{ $v = .Values.b }}{{ end }}{{ if $v }}{{ $v.x }}{{ end }}`},
			mined{Read: "a a.x b b.x c"},
		},
		"get, index and dig": {
			map[string]string{"a.yaml": `{{ get .Values.a "b" }}{{ index .Values.c "d" "e" }}{{ dig "f" "g" "" .Values.AsMap }}{{ index .Values.h .Values.i }}`},
			mined{Read: "a a.b c c.d c.d.e f f.g h i", Walked: "h", Needed: "a c c.d"},
		},
		"calls with dictionaries and lists": {
			map[string]string{
				"_h.tpl": `{{ define "image" }}{{ .repository }}{{ end }}{{ define "class" }}{{ $root := index . 0 }}{{ $root.Values.z }}{{ index . 1 }}{{ end }}` +
					`{{ define "deep" }}{{ .ctx.Values.q }}{{ .v.w }}{{ end }}`,
				"a.yaml": `{{ include "image" .Values.image }}{{ include "class" (list $ .Values.p) }}{{ template "deep" (dict "ctx" . "v" .Values.v) }}`,
			},
			mined{Read: "image image.repository p q v v.w z", Needed: "image v"},
		},
		"a refusal is no use": {
			map[string]string{"validate.yaml": `{{ if or .Values.tunnel (dig "a" "b" "" .Values.AsMap) }}{{ fail "gone" }}{{ end }}{{ if .Values.x }}{{ if .Values.y }}
  {{ fail "both" }}{{ end }}{{ end }}{{ if .Values.z }}text{{ end }}`},
			mined{Read: "z", Refused: "a a.b tunnel x y"},
		},
		"conditions guard": {
			map[string]string{"a.yaml": `{{ if .Values.a }}{{ .Values.a.b }}{{ end }}{{ if and .Values.c .Values.c.d }}{{ end }}{{ if hasKey .Values "e" }}{{ .Values.e.f }}{{ end }}{{ if .Values.g.h }}{{ end }}`},
			mined{Read: "a a.b c c.d e e.f g g.h", Needed: "g"},
		},
		"files are templates": {
			map[string]string{"a.yaml": `{{ tpl (.Files.Get "files/x.sh") . }}{{ tpl .Values.text $ }}`},
			mined{Read: "fromFile text", Whole: "text"},
		},
		"options of the agent": {
			map[string]string{"cilium-configmap.yaml": "data:\n  enable-a: {{ .Values.a | quote }}\n  b-port: \":{{ .Values.b }}\"\n{{ if .Values.c.on }}\n  enable-c: \"true\"\n{{ end }}" +
				"{{ range .Values.d }}{{ end }}\n  list: {{ join \" \" .Values.l }}\n  time: {{ include \"t\" .Values.t | quote }}\n"},
			mined{Read: "a b c c.on d l t", Walked: "d", Needed: "c", Options: "b-port=b enable-a=a enable-c=c.on list=l time=t"},
		},
		"certificates are made, not read": {
			map[string]string{"a.yaml": `{{ $c := genSignedCert "x" .Values.ips .Values.names 1 .ca }}{{ $c.Cert }}`},
			mined{Read: "ips names"},
		},
	} {
		templates := map[string][]byte{}
		for file, text := range c.templates {
			templates[file] = []byte(text)
		}
		u, err := mine(templates, map[string][]byte{"files/x.sh": []byte("{{ .Values.fromFile }}")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var options []string
		for _, o := range slices.Sorted(maps.Keys(u.Options)) {
			options = append(options, o+"="+strings.Join(u.Options[o], ","))
		}
		got := mined{words(u.Read), words(u.Refused), words(u.Whole), words(u.Walked), words(u.Needed), strings.Join(options, " ")}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestMineRefusesBadTemplates(t *testing.T) {
	if _, err := mine(map[string][]byte{"a.yaml": []byte("{{ if }}")}, nil); err == nil || !strings.Contains(err.Error(), "a.yaml") {
		t.Errorf("want an error that names the template, have %v", err)
	}
}
