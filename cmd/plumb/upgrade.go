// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/upgrade"
	"plumbline.dev/plumbline/compiler/values"
)

func newUpgradeCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:   "upgrade ENV --to VERSION",
		Short: "Tell what another chart version changes in an environment",
		Long: `upgrade tells what another version of the Cilium chart changes in this environment,
without changing anything: keys that it ignores, refuses or has under another name,
types and words that it does not take, defaults that this environment leaves to the
chart and that change what Cilium does, and the datapath's settings and map layout.

VERSION is a release, 1.18.6, or a minor, 1.18. Minors are what is known: of each
one release was looked at, which -o json names. All defaults that differ stand in
the report with --all. Cilium supports upgrades from one minor to the next alone.

-o json prints {environment, from, to, path, changes, counts, defaultsLeftOut}: from
and to are {version, minor, table, layout}; a change is {kind, severity, code, path,
message, hint, effect, replacement, replacementKnownNow, since, from, to, positions,
url}, where kind is step, key, value, environment, behaviour, default, layout or
setting.

Exit codes: 0 nothing changes, 1 something does, 2 the environment does not compile,
or the version is not known.`,
		Example: `  plumb upgrade dev --to 1.18.6
  plumb upgrade prod --to 1.18 --all -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	to := command.Flags().String("to", "", "`version` of the chart to look at")
	all := command.Flags().Bool("all", false, "tell every default that differs")
	output := outputFlag(command, "text", "json")
	for _, err := range []error{
		command.MarkFlagRequired("to"),
		command.RegisterFlagCompletionFunc("to", cobra.FixedCompletions(values.Minors(), cobra.ShellCompDirectiveNoFileComp)),
	} {
		if err != nil {
			panic(err) // the flag was made above
		}
	}
	command.RunE = func(_ *cobra.Command, args []string) error {
		report, err := e.upgrade(args[0], *to, upgrade.Options{AllDefaults: *all})
		if err != nil {
			return err
		}
		return e.printUpgrade(report, output.value)
	}
	return command
}

// upgrade finds what a version changes in the environment that an argument names.
func (e *env) upgrade(arg, version string, o upgrade.Options) (*upgrade.Report, error) {
	s, err := e.find(arg)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return nil, err
	}
	team, found, err := e.teamRules()
	if err != nil {
		return nil, err
	}
	o.Compile = []compiler.Option{compiler.WithRules(team)}
	environment, artifact, list, err := s.compile(found, o.Compile...)
	if err != nil {
		return nil, errors.Join(e.tell(list), err)
	}
	report, err := upgrade.Find(environment, artifact, version, o)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	return report, nil
}

func (e *env) printUpgrade(report *upgrade.Report, form string) error {
	if form == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		for _, c := range report.Changes {
			fmt.Fprintln(e.stdout, e.changeLine(c))
		}
		if report.DefaultsLeftOut > 0 {
			fmt.Fprintf(e.stderr, "plumb: %d more defaults differ; --all tells them\n", report.DefaultsLeftOut)
		}
	}
	if len(report.Changes) > 0 {
		return errFindings
	}
	return nil
}

// changeLine is a change on a line, after the author's place where there is one.
func (e *env) changeLine(c upgrade.Change) string {
	severity := c.Severity.String() + ":"
	if e.colour && c.Severity <= diag.Warning {
		severity = map[diag.Severity]string{diag.Error: "\x1b[31m", diag.Warning: "\x1b[33m"}[c.Severity] + severity + "\x1b[0m"
	}
	line := severity + " " + c.String()
	if len(c.Positions) > 0 {
		line = c.Positions[0].String() + ": " + line
	}
	return line
}
