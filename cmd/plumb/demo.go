// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/cmd/plumb/internal/demo"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/schema/state"
)

func newDemoCommand(e *env) *cobra.Command {
	var cluster clusterFlags
	var agent string
	var verbose bool
	command := &cobra.Command{
		Use:   "demo [ENV]",
		Short: "Compile, run, break, see, mend: on this machine's own kernel",
		Long: `demo compiles an environment and a cluster's YAML, starts real servers for the
cluster's pods in a network namespace, runs the real agent in mode own on a bpffs
and a cgroup made for it, connects to every service, damages maps and programs
by another process, and shows that the agent sees and mends it. Every step is
checked; the exit code is 1 where a check fails. It needs root and no cluster,
and removes all that it makes.`,
		Example: `  plumb demo
  plumb demo dev -f fixtures/clusters/platform --node dev-worker -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	cluster.add(command)
	command.Flags().StringVar(&agent, "agent", "", "`path` of plumb-agent; default: beside plumb")
	command.Flags().BoolVarP(&verbose, "verbose", "v", false, "print each service's answers")
	output := outputFlag(command, "text", "json")
	command.RunE = func(_ *cobra.Command, args []string) error {
		name := "dev"
		if len(args) > 0 {
			name = args[0]
		}
		if len(cluster.files) == 0 {
			cluster.files = []string{e.path("fixtures/clusters/platform")}
		}
		if cluster.node == "" {
			cluster.node = "dev-worker"
		}
		p := &demo.Printer{Out: e.stdout, Color: e.colour, Verbose: verbose, JSON: output.value == "json"}
		o, err := demoOptions(e, name, agent, &cluster)
		if err != nil {
			return err
		}
		o.Print = p
		err = demo.Run(e.ctx, o)
		if perr := p.Finish(err); perr != nil {
			return perr
		}
		if errors.Is(err, demo.ErrCheck) {
			return errFindings
		}
		return err
	}
	return command
}

func demoOptions(e *env, name, agent string, cluster *clusterFlags) (demo.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return demo.Options{}, fmt.Errorf("own path: %w", err)
	}
	if agent == "" {
		agent = filepath.Join(filepath.Dir(self), "plumb-agent")
	}
	return demo.Options{
		Environment: name, Self: self, Agent: agent, Snapshots: cluster.files, Node: cluster.node,
		Compile: func() (*demo.Compiled, error) { return demoCompile(e, name) },
		Wanted: func(settings *state.Settings) (*state.State, *state.Snapshot, error) {
			snapshot, notices, err := cluster.snapshot(e)
			if err != nil {
				return nil, nil, err
			}
			want, more := datapath.Compile(settings, snapshot)
			if !printNotices(e, errorsOnly(append(notices, more...))) {
				return nil, nil, errUnread
			}
			return want, snapshot, nil
		},
		Diff: func(ctx context.Context, bpffs, cgroup string) (string, error) {
			args := []string{"diff", name, "--live", "--node", cluster.node, "--bpffs", bpffs, "--cgroup-root", cgroup, "--environments", e.environments, "--only", "maps", "--grace", "0"}
			for _, f := range cluster.files {
				args = append(args, "-f", f)
			}
			command := exec.CommandContext(ctx, self, args...)
			var out bytes.Buffer
			command.Stdout, command.Stderr = &out, e.stderr
			err := command.Run()
			return out.String(), err
		},
	}, nil
}

// demoCompile compiles the environment, and says what it compiles to.
func demoCompile(e *env, name string) (*demo.Compiled, error) {
	artifact, err := e.compile(name)
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(artifact.Settings)
	if err != nil {
		return nil, err
	}
	values, err := emit.YAML(artifact.Values)
	if err != nil {
		return nil, err
	}
	c := &demo.Compiled{Settings: artifact.Settings, SettingsJSON: settings, Values: string(values)}
	for _, f := range artifact.Files {
		name, err := manifestName(f)
		if err != nil {
			return nil, err
		}
		c.Manifests = append(c.Manifests, name)
	}
	return c, nil
}

// manifestName names a file and the object in it: "cilium/helmrelease.yaml
// HelmRelease kube-system/cilium".
func manifestName(f emit.File) (string, error) {
	var object struct {
		Kind     string
		Metadata struct{ Namespace, Name string }
	}
	if err := yaml.Unmarshal(f.Data, &object); err != nil {
		return "", fmt.Errorf("manifest %s: %w", f.Path, err)
	}
	name := strings.TrimPrefix(object.Metadata.Namespace+"/"+object.Metadata.Name, "/")
	return strings.TrimSpace(fmt.Sprintf("%-26s %s %s", f.Path, object.Kind, name)), nil
}

// errorsOnly drops what a demonstration need not tell.
func errorsOnly(notices []state.Notice) []state.Notice {
	var out []state.Notice
	for _, n := range notices {
		if n.Severity == state.Error {
			out = append(out, n)
		}
	}
	return out
}

// newDemoRoleCommand and newDemoTamperCommand are the processes of a
// demonstration; nobody starts them by hand.
func newDemoRoleCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: demo.RoleCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return demo.Role(e.ctx, e.stdin, e.stdout) },
	}
}

func newDemoTamperCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: demo.TamperCommand, Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			what, err := demo.Tamper(args)
			fmt.Fprintln(e.stdout, what)
			return err
		},
	}
}
