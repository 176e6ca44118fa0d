// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// ChartVersion is the version of the chart to vet the values as: the one that is
// given, or else the HelmRelease's own. A range stands for the one minor among
// the known that it lets through. It is "" exactly where a finding is an Error.
func (r *Release) ChartVersion(given string) (string, diag.List) {
	exact, err := semver.StrictNewVersion(strings.TrimPrefix(r.Version, "v"))
	switch {
	case given != "" && (err != nil || exact.Original() == strings.TrimPrefix(given, "v")):
		return given, nil
	case given != "":
		return given, diag.List{finding(CodeVersionOther, r.versionPath(), fmt.Sprintf("the HelmRelease states the chart %s; it is vetted as %s", r.Version, given), "", r.VersionAt...)}
	case err == nil:
		return r.Version, nil
	case r.versionTold:
		return "", nil
	case r.Version == "" && r.chartRef:
		return r.noVersion("chartRef leads to an object that is not among the files, and it has the chart's version")
	case r.Version == "" && len(r.spec.Fields) > 0 && !stated(&r.spec, "chart"):
		return r.noVersion("the HelmRelease names no chart: it is a part of one, a patch")
	case r.Version == "":
		return r.noVersion("no chart version is stated: Flux takes the newest chart there is, of whatever minor")
	}
	return r.ranged()
}

func (r *Release) versionPath() string {
	if r.chartRef {
		return "spec.chartRef"
	}
	return "spec.chart.spec.version"
}

func (r *Release) noVersion(message string) (string, diag.List) {
	return "", diag.List{finding(CodeVersion, r.versionPath(), message, "give --chart-version, one of "+strings.Join(values.Minors(), ", "), r.VersionAt...)}
}

// ranged finds the minors that a range lets through.
func (r *Release) ranged() (string, diag.List) {
	constraint, err := semver.NewConstraint(r.Version)
	if err != nil {
		return r.noVersion(fmt.Sprintf("%q is neither a version nor a range of versions", r.Version))
	}
	var minors []string
	version := ""
	for _, minor := range values.Minors() {
		if v, ok := within(constraint, minor); ok {
			minors, version = append(minors, minor), v
		}
	}
	if next, ok := later(constraint); ok {
		minors = append(minors, next+" and later")
	}
	switch {
	case len(minors) == 0 || version == "":
		return r.noVersion(fmt.Sprintf("%q lets no chart through that there is a table of values for", r.Version))
	case len(minors) > 1:
		return r.noVersion(fmt.Sprintf("%q lets charts of several minors through: %s", r.Version, strings.Join(minors, ", ")))
	}
	return version, diag.List{finding(CodeVersionRange, r.versionPath(),
		fmt.Sprintf("%q is a range: Flux takes each new chart in it without a change in Git; the values are vetted as those of %s", r.Version, version),
		"state one version", r.VersionAt...)}
}

// mostPatches bounds the releases of a minor that are tried.
const mostPatches = 100

// within gives a release of a minor that a range lets through: the table's own
// if it can be.
func within(c *semver.Constraints, minor string) (string, bool) {
	if t, err := values.For(minor); err == nil && allows(c, t.Chart) {
		return t.Chart, true
	}
	for patch := range mostPatches {
		if v := fmt.Sprintf("%s.%d", minor, patch); allows(c, v) {
			return v, true
		}
	}
	return "", false
}

// later tells whether a range lets through a minor that is not known yet.
func later(c *semver.Constraints) (string, bool) {
	known := values.Minors()
	newest, err := semver.NewVersion(known[len(known)-1])
	if err != nil {
		return "", false
	}
	next := newest.IncMinor()
	_, ok := within(c, fmt.Sprintf("%d.%d", next.Major(), next.Minor()))
	return fmt.Sprintf("%d.%d", next.Major(), next.Minor()), ok
}

func allows(c *semver.Constraints, version string) bool {
	v, err := semver.StrictNewVersion(version)
	return err == nil && c.Check(v)
}

// stated tells whether a field is there.
func stated(n *values.Node, name string) bool { _, ok := n.Lookup(name); return ok }
