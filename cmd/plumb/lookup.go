// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/lookup"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// explainFlags ask for the lookup of one connection instead of a whole report.
type explainFlags struct{ frontend, client string }

func (f *explainFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.frontend, "explain", "", "follow one connection to `ADDR:PORT/PROTO` step by step through the maps; with /i behind it that of a client in the cluster")
	command.Flags().StringVar(&f.client, "client", "", "`address` of the client that --explain checks against source ranges")
}

func (f *explainFlags) set() bool { return f.frontend != "" }

// query parses the flags. nodes are the node's addresses, where they are known.
func (f *explainFlags) query(nodes []netip.Addr) (q lookup.Query, err error) {
	q.NodeAddresses = nodes
	if err := q.Frontend.UnmarshalText([]byte(f.frontend)); err != nil {
		return q, fmt.Errorf("--explain: %w", err)
	}
	if !q.Frontend.Address.IsValid() || q.Frontend.Scope > state.Internal {
		return q, fmt.Errorf("--explain: frontend %q: want an address, and /i or no scope", f.frontend)
	}
	if f.client != "" {
		if q.Client, err = netip.ParseAddr(f.client); err != nil {
			return q, fmt.Errorf("--client: %w", err)
		}
	}
	return q, nil
}

// check refuses a --client that nothing would look at.
func (f *explainFlags) check() error {
	if f.client != "" && !f.set() {
		return fmt.Errorf("--client is for --explain, which is not given")
	}
	return nil
}

// wanted gives the wanted State as bytes, under the ids that the kernel has;
// without a kernel, under those that an empty one would get.
func wanted(want *state.State, have *plan.Have) (*lookup.Maps, error) {
	if have == nil {
		have = &plan.Have{Layout: want.Layout}
	}
	entries := *want
	entries.Maps, entries.Attachments = nil, nil
	result, err := plan.Diff(&plan.Have{Layout: have.Layout, Tables: have.Tables}, &entries, nil)
	if err != nil {
		return nil, err
	}
	return &lookup.Maps{Tables: result.Target.Tables(), Maglev: want.Maglev}, nil
}

// held gives what was read; its Maglev tables are decoded.
func held(have *plan.Have) (*lookup.Maps, error) {
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		return nil, err
	}
	return &lookup.Maps{Tables: have.Tables, Maglev: dec.State.Maglev}, nil
}

// explainLive follows a connection through the wanted and the held maps. Where
// the ways part, it reads again after the grace: a live agent may be writing (I5).
func explainLive(e *env, q lookup.Query, settings *state.Settings, want *state.State, grace time.Duration) (*lookup.Report, error) {
	report, err := explainOnce(e, q, settings, want)
	if err != nil || len(report.Partings) == 0 || grace == 0 {
		return report, err
	}
	select {
	case <-time.After(grace):
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
	again, err := explainOnce(e, q, settings, want)
	if err != nil {
		return nil, err
	}
	again.Confirm(report)
	return again, nil
}

func explainOnce(e *env, q lookup.Query, settings *state.Settings, want *state.State) (*lookup.Report, error) {
	have, err := readKernel(e, settings, false)
	if err != nil {
		return nil, err
	}
	wantMaps, err := wanted(want, have)
	if err != nil {
		return nil, err
	}
	haveMaps, err := held(have)
	if err != nil {
		return nil, err
	}
	report := lookup.Explain(q, settings, wantMaps, haveMaps)
	report.Service = serviceOf(want, q.Frontend)
	return report, nil
}

// serviceOf names the service that a wanted frontend is of, in whichever scope.
func serviceOf(want *state.State, name state.FrontendName) string {
	for i := range want.Frontends {
		if f := &want.Frontends[i]; f.Endpoint == name.Endpoint {
			return f.Service
		}
	}
	return ""
}

// printExplained prints a report. That a way parts, or that there is no such
// frontend, is a finding.
func printExplained(e *env, report *lookup.Report, form string) error {
	if form == "json" {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return err
		}
	} else if err := report.WriteText(e.stdout); err != nil {
		return err
	}
	if !report.Found() || len(report.Partings) > 0 {
		return errFindings
	}
	return nil
}
