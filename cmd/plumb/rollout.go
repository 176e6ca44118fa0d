// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/rollout"
)

// diffCluster compares an environment with what its cluster has of it, and with what
// the nodes run.
func (e *env) diffCluster(arg, chartPath string, reach cluster.Reach, form string) error {
	want, err := e.wantedRollout(arg, chartPath)
	if err != nil {
		return err
	}
	held, err := e.heldRollout(want, reach)
	if err != nil {
		return err
	}
	report, err := rollout.Compare(&want.Wanted, held)
	if err != nil {
		return err
	}
	return e.printRollout(report, form)
}

// wantedRollout is what an environment comes to, and where Cilium is installed.
type wantedRollout struct {
	rollout.Wanted
	namespace string
}

// wantedRollout compiles the environment and renders its chart. A chart that can't be
// had is no error: what needs it is not judged, which the report says.
func (e *env) wantedRollout(arg, chartPath string) (*wantedRollout, error) {
	source, err := e.folder().Find(arg)
	if err != nil {
		return nil, err
	}
	artifact, err := e.compile(arg)
	if err != nil {
		return nil, err
	}
	want := &wantedRollout{}
	objects, err := objectsOf(artifact.Files, true)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o["kind"] == "HelmRelease" {
			want.Release = o
		}
	}
	if want.Release == nil {
		return nil, fmt.Errorf("%s builds no HelmRelease: there is nothing to compare", arg)
	}
	environment, _ := load.Load(source)
	want.ChartVersion, want.namespace = environment.Chart.Version, environment.Flux.Release.Namespace
	if err := e.renderRollout(want, source, chartPath); err != nil {
		want.NotRendered = "the chart could not be rendered: " + err.Error()
	}
	return want, nil
}

func (e *env) renderRollout(want *wantedRollout, source load.Source, chartPath string) error {
	process, err := e.startRenderer()
	if err != nil {
		return err
	}
	_, toRender := vet([]load.Source{source}, nil)
	found, err := e.render(process, toRender, chartPath, false)
	if err != nil {
		return err
	}
	for _, d := range found {
		if d.Severity == diag.Error {
			return errors.New(d.Message)
		}
	}
	if len(toRender) == 0 {
		return errors.New("the environment has no chart")
	}
	for _, o := range toRender[0].result.Objects {
		into := map[string]*map[string]any{"ConfigMap " + rollout.ConfigName: &want.Config, "DaemonSet " + rollout.DaemonSetName: &want.DaemonSet}[o.Kind+" "+o.Name]
		if into == nil {
			continue
		}
		if o.StandIn {
			return fmt.Errorf("%s %s has data that Helm makes up anew at each install", o.Kind, o.Name)
		}
		decoded, err := compare.Decode([]byte(o.Text))
		if err != nil {
			return err
		}
		*into = decoded[0]
	}
	if want.Config == nil || want.DaemonSet == nil {
		return fmt.Errorf("it has no ConfigMap %s or no DaemonSet %s", rollout.ConfigName, rollout.DaemonSetName)
	}
	return nil
}

// heldRollout reads what the cluster has.
func (e *env) heldRollout(want *wantedRollout, reach cluster.Reach) (*rollout.Held, error) {
	metadata, _ := want.Release["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	data, err := e.ask("diff --cluster", append([]string{"installed", namespace, name, want.namespace, rollout.ConfigName, rollout.DaemonSetName}, reach.Args()...)...)
	if err != nil {
		return nil, err
	}
	var installed cluster.Installed
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&installed); err != nil {
		return nil, fmt.Errorf("what %s read: %w", clusterCommand, err)
	}
	held := rollout.Held(installed)
	return &held, nil
}

func (e *env) printRollout(r *rollout.Report, form string) error {
	if form == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			fmt.Fprintln(e.stdout, f)
		}
		for _, text := range r.NotJudged {
			fmt.Fprintln(e.stdout, "not judged:", text)
		}
		if r.InSync {
			fmt.Fprintln(e.stdout, "in sync: Flux has applied the environment, and every node runs it")
		} else {
			fmt.Fprintf(e.stdout, "%d differences\n", len(r.Findings))
		}
	}
	if !r.InSync {
		return errFindings
	}
	return nil
}
