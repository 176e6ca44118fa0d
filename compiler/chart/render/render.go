// SPDX-License-Identifier: Apache-2.0

// Package render renders a chart through Helm's loader and engine. It never
// talks to a cluster or to the network, asks for no time and makes up nothing at
// random: equal input gives equal bytes (I9). What Helm's templates would make
// up is replaced by stand-ins, and marked.
package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	helm "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	dependencies "helm.sh/helm/v4/pkg/chart/v2/util"

	"plumbline.dev/plumbline/compiler/chart"
)

// Chart is a chart that has been read. It may be rendered more than once, also at
// the same time.
type Chart struct {
	files  []*archive.BufferedFile
	loaded *helm.Chart
	schema func() (*schema, error)
}

// Read reads a chart's files. The error is a *chart.Problem where they are no
// chart.
func Read(files []*archive.BufferedFile) (*Chart, error) {
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, &chart.Problem{Code: chart.CodeUnreadable, About: chart.AboutSource, Message: fmt.Sprintf("this is no chart: %v", err)}
	}
	c := &Chart{files: files, loaded: loaded, schema: sync.OnceValues(func() (*schema, error) { return compileSchemas(loaded) })}
	return c, nil
}

// Name is the chart's own name.
func (c *Chart) Name() string { return c.loaded.Name() }

// Version is the chart's own version.
func (c *Chart) Version() string { return c.loaded.Metadata.Version }

// Render renders the chart. The objects are nil exactly where there are problems.
// An error is of the request, not of the environment.
func (c *Chart) Render(r chart.Request) ([]chart.Object, []chart.Problem, error) {
	var values map[string]any
	if err := json.Unmarshal(r.Values, &values); err != nil {
		return nil, nil, fmt.Errorf("values of the request: %w", err)
	}
	capabilities, err := capabilitiesOf(r)
	if err != nil {
		return nil, nil, err
	}
	if p := c.takes(capabilities); p != nil {
		return nil, []chart.Problem{*p}, nil
	}
	loaded, err := c.resolved(values)
	if err != nil {
		return nil, []chart.Problem{{Code: chart.CodeTemplate, About: chart.AboutValues, Message: "dependencies of the chart: " + err.Error()}}, nil
	}
	return c.renderLoaded(loaded, values, capabilities, r)
}

// resolved is the chart with the dependencies that the values turn on. Helm
// changes a chart that has dependencies while it does that: each render has its own.
func (c *Chart) resolved(values map[string]any) (*helm.Chart, error) {
	if len(c.loaded.Metadata.Dependencies) == 0 {
		return c.loaded, nil
	}
	own, err := loader.LoadFiles(c.files)
	if err != nil {
		return nil, err
	}
	return own, dependencies.ProcessDependencies(own, values)
}

func (c *Chart) renderLoaded(loaded *helm.Chart, values map[string]any, capabilities *common.Capabilities, r chart.Request) ([]chart.Object, []chart.Problem, error) {
	release := common.ReleaseOptions{Name: r.Release.Name, Namespace: r.Release.Namespace, Revision: 1, IsInstall: true}
	top, err := util.ToRenderValuesWithSchemaValidation(loaded, values, release, capabilities, true)
	if err != nil {
		return nil, nil, fmt.Errorf("lay the values over the chart's own: %w", err)
	}
	effective := common.Values{}
	if v, ok := top["Values"].(common.Values); ok {
		effective = v
	}
	var problems []chart.Problem
	var judged sync.WaitGroup
	if !r.SkipSchema {
		judged.Go(func() { problems, err = c.judge(effective) })
	}
	rendered, refused := execute(loaded, top)
	if judged.Wait(); err != nil {
		return nil, nil, err
	}
	problems = append(problems, refused...)
	if len(problems) > 0 {
		return nil, problems, nil
	}
	return objects(rendered, loaded)
}

// judge asks the schemas of the chart and its dependencies.
func (c *Chart) judge(values map[string]any) ([]chart.Problem, error) {
	schemas, err := c.schema()
	var broken *chart.Problem
	if errors.As(err, &broken) {
		return []chart.Problem{*broken}, nil
	}
	if err != nil {
		return nil, err
	}
	return schemas.judge(values, nil), nil
}

// capabilitiesOf is what templates see of the cluster.
func capabilitiesOf(r chart.Request) (*common.Capabilities, error) {
	version := r.Kubernetes
	if version == "" {
		version = chart.DefaultKubernetes
	}
	if strings.Count(version, ".") == 1 {
		version += ".0"
	}
	parsed, err := common.ParseKubeVersion(version)
	if err != nil {
		return nil, fmt.Errorf("version %q of Kubernetes: %w", r.Kubernetes, err)
	}
	c := common.DefaultCapabilities.Copy()
	c.KubeVersion = *parsed
	c.APIVersions = append(slices.Clip(c.APIVersions), r.APIVersions...)
	return c, nil
}

// takes tells of a Kubernetes version that the chart does not take, as Helm does
// before it renders.
func (c *Chart) takes(have *common.Capabilities) *chart.Problem {
	want := c.loaded.Metadata.KubeVersion
	if want == "" || dependencies.IsCompatibleRange(want, have.KubeVersion.String()) {
		return nil
	}
	return &chart.Problem{
		Code: chart.CodeKubernetes, About: chart.AboutKubernetes,
		Message: fmt.Sprintf("%s %s takes Kubernetes %s, and the cluster has %s", c.Name(), c.Version(), want, have.KubeVersion.String()),
		Hint:    "take a chart version for this Kubernetes, or correct cluster: kubernetes",
	}
}
