// SPDX-License-Identifier: Apache-2.0

package render

import (
	"testing"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/archive"
	"plumbline.dev/plumbline/compiler/chart/charttest"
)

// What the parts of a render cost, each from nothing: reading the chart, its
// schema, and the templates with and without them.
func BenchmarkParts(b *testing.B) {
	dir := charttest.Cilium(b, "1.17.2")
	r := request(b, "{hubble: {relay: {enabled: true}, ui: {enabled: true}}, kubeProxyReplacement: true}")
	found, err := (&archive.Finder{}).Find(b.Context(), chart.Reference{Path: dir})
	if err != nil {
		b.Fatal(err)
	}
	read := func() *Chart {
		c, err := Read(found.Files)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := (&archive.Finder{}).Find(b.Context(), chart.Reference{Path: dir}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			read()
		}
	})
	b.Run("schema", func(b *testing.B) {
		c := read()
		for b.Loop() {
			if _, err := compileSchemas(c.loaded); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, skip := range []bool{true, false} {
		name := map[bool]string{true: "templates", false: "templates and schema"}[skip]
		b.Run(name, func(b *testing.B) {
			c := read()
			r := r
			r.SkipSchema = skip
			for b.Loop() {
				if _, problems, err := c.Render(r); err != nil || len(problems) > 0 {
					b.Fatal(err, problems)
				}
			}
		})
	}
}
