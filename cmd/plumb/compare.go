// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// diffLong is the help on two environments.
const diffLong = `diff A B compares what two environments compile to: their Helm values, their
manifests and their datapath settings. A and B are environments, or ENV@REV: an
environment as it was at a revision of its git repository. The work tree is left
alone. It prints a line for each difference, sorted: + is on B's side only, - on
A's, ~ differs. Behind it stands where the author wrote the value, at a revision
as REV:path:line:column, counted from the top of the repository.

Manifests leave out the values of the HelmRelease, which stand among the values;
--only manifests has them too. Secrets are masked: what a Secret holds, and values
that are keys, certificates, passwords or tokens. A masked line says that its
sides differ, and no more.

Behind the differences stands what is found in one of the two alone, by Plumbline's
rules and the team's in the work tree: + in B, - in A. It has no part in the exit
code. --only leaves it out.

-o json prints {same, from, to, differences, counts, findings}: from and to are
{environment, revision, commit, absent}; a difference is {part, op, object, path,
from, to, masked, fromPositions, toPositions}, where part is values, manifests or
settings, op added, removed or changed, and object {apiVersion, kind, namespace,
name} of manifests; without path it is the object as a whole. findings are {added,
removed}, each as vet -o json has them.

Exit codes: 0 the same, 1 they differ, 2 one of them does not compile, or could
not be read.`

// diffArguments tells whether the arguments and --only go together.
func diffArguments(count int, live, inCluster bool, only string) error {
	ofKernel := slices.Contains([]string{"maps", "attachments", "audits"}, only)
	switch {
	case live && count != 1:
		return errors.New("diff --live compares one environment with this node's kernel: want one ENV")
	case inCluster && count != 1:
		return errors.New("diff --cluster compares one environment with its cluster: want one ENV")
	case inCluster && only != "":
		return fmt.Errorf("--only %s does not go with --cluster, which compares all of it", only)
	case !live && !inCluster && count != 2:
		return errors.New("diff compares two environments: want A and B, such as dev@main and dev; --live compares one with this node's kernel, --cluster with its cluster")
	case live && only != "" && !ofKernel:
		return fmt.Errorf("--only %s is for two environments: with --live it is maps, attachments or audits", only)
	case !live && ofKernel:
		return fmt.Errorf("--only %s is for --live: of two environments it is values, manifests or settings", only)
	}
	return nil
}

// diff compares two environments and prints the report.
func (e *env) diff(a, b, only, form string) error {
	from, to, err := e.pair(a, b)
	if err != nil {
		return err
	}
	have, found, errFrom := from.side(only == "manifests")
	want, more, errTo := to.side(only == "manifests")
	if err := errors.Join(errFrom, errTo); err != nil {
		return errors.Join(e.tell(append(found, more...).Sort()), err)
	}
	parts, err := partsOf(only)
	if err != nil {
		return err
	}
	list, err := compare.Sides(have, want, parts...)
	if err != nil {
		return err
	}
	report, err := compare.NewReport(from.origin, to.origin, list)
	if err != nil {
		return err
	}
	if only == "" {
		if report.Findings, err = e.findingsOf(from, to); err != nil {
			return err
		}
	}
	return e.printComparison(report, form)
}

// findingsOf compares what is found in two environments, by the rules of the work
// tree for both: what differs is the environments' own.
func (e *env) findingsOf(from, to selection) (*compare.Findings, error) {
	team, broken, err := e.teamRules()
	if err != nil {
		return nil, err
	}
	if broken.Count(diag.Error) > 0 {
		return nil, errors.Join(e.tell(broken),
			errors.New("the team's rules are broken, see above, and findings can't be compared by them: mend them, or compare one part by --only"))
	}
	return compare.FindingsOf(from.findings(team), to.findings(team)), nil
}

// findings are what vet finds in it; nothing where it is absent.
func (s selection) findings(team *rules.Set) diag.List {
	if s.origin.Absent {
		return nil
	}
	list, _ := vet([]load.Source{s.source}, []compiler.Option{compiler.WithRules(team)})
	return list
}

func partsOf(only string) ([]compare.Part, error) {
	if only == "" {
		return nil, nil
	}
	var part compare.Part
	err := part.UnmarshalText([]byte(only))
	return []compare.Part{part}, err
}

func (e *env) printComparison(report *compare.Report, form string) error {
	write := func() error { return report.WriteText(e.stdout, e.colour) }
	if form == "json" {
		write = func() error { return report.WriteJSON(e.stdout) }
	}
	if err := write(); err != nil {
		return err
	}
	if !report.Same {
		return errFindings
	}
	return nil
}

// side compiles what is compared. Its error says that there are Errors among the
// findings.
func (s selection) side(withValues bool) (compare.Side, diag.List, error) {
	if s.origin.Absent {
		return compare.Side{}, nil, nil
	}
	environment, artifact, list, err := s.compile(nil)
	if err != nil {
		return compare.Side{}, list, err
	}
	objects, err := objectsOf(artifact.Files, withValues)
	return compare.Side{Values: artifact.Values, Settings: artifact.Settings, Objects: objects, Where: authorOf(environment)}, list, err
}

// compile compiles it, found being what was found before; there is an error where
// there is no Artifact.
func (s selection) compile(found diag.List, options ...compiler.Option) (*load.Environment, *compiler.Artifact, diag.List, error) {
	environment, list := load.Load(s.source)
	artifact, more := compiler.Compile(environment, options...)
	list = slices.Concat(found, list, more).Sort()
	if artifact == nil || list.Count(diag.Error) > 0 {
		return nil, nil, list, fmt.Errorf("%s does not compile: see the findings above", s)
	}
	return environment, artifact, list, nil
}

// String names it as the argument did.
func (s selection) String() string {
	if s.origin.Revision == "" {
		return s.origin.Environment
	}
	return s.origin.Environment + "@" + s.origin.Revision
}

// objectsOf reads the objects among the manifests.
func objectsOf(files []emit.File, withValues bool) ([]map[string]any, error) {
	var documents [][]byte
	for _, f := range files {
		if path.Base(f.Path) != emit.Kustomization {
			documents = append(documents, f.Data)
		}
	}
	objects, err := compare.Decode(documents...)
	for _, o := range objects {
		if spec, ok := o["spec"].(map[string]any); ok && o["kind"] == "HelmRelease" && !withValues {
			delete(spec, "values")
		}
	}
	return objects, err
}

// authorOf gives the author's places of Helm values: where they are written, or
// the field that they follow from.
func authorOf(environment *load.Environment) func([]string) []diag.Position {
	node := values.FromCUE(environment.Values, load.Author)
	return func(names []string) []diag.Position {
		if v, ok := node.Lookup(names...); ok {
			return slices.DeleteFunc(slices.Clone(v.Positions), func(p diag.Position) bool {
				_, author := load.Author(p.File)
				return !author
			})
		}
		if field := lower.Field(strings.Join(names, ".")); field != nil {
			return environment.Positions(field...)
		}
		return nil
	}
}
