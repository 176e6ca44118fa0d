// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cuelang.org/go/cue"

	"plumbline.dev/plumbline/compiler/diag"
)

// decode gives the environment that a value states, or what is left of it.
func (r *reader) decode(v cue.Value) *Environment {
	env := &Environment{Folder: r.source.display(r.source.Dir), value: v, places: r.places}
	if r.findings.Count(diag.Error) == 0 {
		if err := v.Decode(env); err != nil {
			r.reportAll(codeBadValue, err)
		}
	}
	env.Values = v.LookupPath(cue.ParsePath("values"))
	if env.Complete = r.findings.Count(diag.Error) == 0; !env.Complete {
		r.salvage(v, env)
	}
	return env
}

// salvage takes over what can be judged beside an error. What it can't read has
// a finding already.
func (r *reader) salvage(v cue.Value, env *Environment) {
	env.Chart.Version, _ = v.LookupPath(cue.ParsePath("chart.version")).String()
	env.AllowUnknown = nil
	paths, _ := fieldsOf(v.LookupPath(cue.ParsePath("allowUnknown")))
	for _, p := range paths {
		var allowed Allowed
		if err := p.value.Decode(&allowed); err == nil && allowed.Path != "" {
			env.AllowUnknown = append(env.AllowUnknown, allowed)
		}
	}
}
