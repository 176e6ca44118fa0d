// SPDX-License-Identifier: Apache-2.0

// Package demo shows Plumbline at work on this machine's own kernel: it
// compiles an environment, runs the real agent on real maps and programs,
// breaks them by another process' hand, and checks by real connections what
// that does and that it is mended. It is no simulation and no test double: its
// checks can fail, and then it does.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/state"
)

// RoleCommand and TamperCommand are the hidden commands by which the
// demonstration starts this binary again.
const (
	RoleCommand   = "demo-role"
	TamperCommand = "demo-tamper"
)

// Options say what to demonstrate.
type Options struct {
	Environment string   // as shown: "dev"
	Self, Agent string   // the two binaries
	Snapshots   []string // files and folders of the cluster's YAML
	Node        string   // of the cluster, whose State is compiled
	// Compile vets and compiles the environment.
	Compile func() (*Compiled, error)
	// Wanted compiles the State that the node's kernel should hold.
	Wanted func(*state.Settings) (*state.State, *state.Snapshot, error)
	// Diff runs `plumb diff --live` in a process of its own on a bpffs.
	Diff  func(ctx context.Context, bpffs, cgroup string) (string, error)
	Print *Printer
}

// Compiled is what the environment compiles to.
type Compiled struct {
	Settings     *state.Settings
	SettingsJSON []byte
	Values       string   // Helm values, YAML
	Manifests    []string // names, "HelmRelease kube-system/cilium"
}

// ErrCheck is wrapped by every check that failed.
var ErrCheck = errors.New("check failed")

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrCheck, fmt.Sprintf(format, args...))
}

// show is one demonstration under way.
type show struct {
	Options
	compiled *Compiled
	want     *state.State
	snapshot *state.Snapshot
	world    *world
	agent    *agent
	cases    []*connectOrder
}

// Run runs the demonstration. It returns an error that wraps ErrCheck where
// something did not do what it should, and removes all it made in any case.
func Run(ctx context.Context, o Options) (err error) {
	s := &show{Options: o}
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"Vet and compile the environment " + o.Environment, s.compile},
		{"Compile the state that the kernel of " + o.Node + " should hold", s.wanted},
		{"Make two network namespaces, a cgroup and a bpffs", s.makeWorld},
		{"Start the agent in mode own: maps, programs, first sync", s.sync},
		{"Connect to every service from the cgroup", s.connectAll},
		{"Damage the maps by another process' hand", s.damageMaps},
		{"The agent sees it, reports it and mends it", s.mendMaps},
		{"Detach a program by another process' hand", s.detachProgram},
		{"The agent attaches it again", s.mendProgram},
		{"Stop the agent: what it wrote stays, and traffic flows", s.stopAgent},
	}
	defer func() {
		if s.world == nil {
			return
		}
		cleanup := o.Print.step("Remove all that was made", func() error { return s.world.close() })
		err = errors.Join(err, cleanup)
	}()
	for _, step := range steps {
		if err := o.Print.step(step.title, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) compile(context.Context) (err error) {
	if s.compiled, err = s.Compile(); err != nil {
		return err
	}
	s.Print.block("Helm values", s.compiled.Values)
	s.Print.block("Manifests", strings.Join(s.compiled.Manifests, "\n")+"\n")
	return check(len(s.compiled.Manifests) > 0, "no manifests")
}

func (s *show) wanted(context.Context) (err error) {
	s.compiled.Settings.Mode = state.Own
	if s.want, s.snapshot, err = s.Wanted(s.compiled.Settings); err != nil {
		return err
	}
	s.Print.line("%d services and %d endpoint slices become %d frontends and %d backends, layout %s",
		len(s.snapshot.Services), len(s.snapshot.Slices), len(s.want.Frontends), len(s.want.Backends), s.want.Layout)
	s.cases = connectOrders(s.want)
	return check(len(s.cases) > 20, "only %d frontends to connect to", len(s.cases))
}

// connectOrders says who has to answer for every frontend that a client in the
// cluster can ask.
func connectOrders(want *state.State) []*connectOrder {
	internal := map[state.Endpoint][]state.Endpoint{}
	for _, f := range want.Frontends {
		if f.Scope == state.Internal {
			internal[f.Endpoint] = f.Backends
		}
	}
	var orders []*connectOrder
	for _, f := range want.Frontends {
		// The surrogates 0.0.0.0 and :: answer for loopback on the host alone.
		if f.Address.IsUnspecified() || f.Scope == state.Internal || f.Protocol != state.TCP && f.Protocol != state.UDP {
			continue
		}
		o := &connectOrder{To: f.Endpoint, Want: f.Backends, Sticky: f.Flags&state.Affinity != 0}
		if f.Flags&state.TwoScopes != 0 {
			o.Want = internal[f.Endpoint] // this client is in the cluster
		}
		o.Attempts = max(2, 60*len(o.Want))
		if o.Sticky {
			o.Attempts, o.All = 10, true
		}
		orders = append(orders, o)
	}
	return orders
}

func (s *show) makeWorld(ctx context.Context) (err error) {
	if s.world, err = newWorld(ctx, s.Self); err != nil {
		return err
	}
	pods := order{}
	for _, b := range s.want.Backends {
		pods.Serve = append(pods.Serve, b.Endpoint)
		if !slices.Contains(pods.Addresses, b.Address) {
			pods.Addresses = append(pods.Addresses, b.Address)
		}
	}
	if _, err := s.world.pods.obey(pods); err != nil {
		return fmt.Errorf("start the pods: %w", err)
	}
	client := []netip.Addr{netip.MustParseAddr("10.244.255.250"), netip.MustParseAddr("fd00:10:244:ffff::250")}
	if _, err := s.world.client.obey(order{Addresses: client}); err != nil {
		return fmt.Errorf("start the client: %w", err)
	}
	s.Print.line("%d real TCP and UDP servers on %d pod addresses; a client in cgroup %s", len(pods.Serve), len(pods.Addresses), s.world.cgroup)
	return nil
}

func (s *show) sync(ctx context.Context) (err error) {
	if s.agent, err = s.world.startAgent(ctx, s.Options, s.compiled.SettingsJSON); err != nil {
		return err
	}
	r, err := s.agent.next(ctx)
	if err != nil {
		return err
	}
	s.Print.line("%s: %d of %d writes, %d frontends, %d backends", r.Status, r.Applied, r.Planned, r.Counts.Frontends, r.Counts.Backends)
	if err := check(r.Status == reconcile.InSync && r.Applied > 0, "the first round came to %s (%s) %s", r.Status, r.Reason, r.Error); err != nil {
		return err
	}
	text, err := s.Diff(ctx, s.world.bpffs, s.world.cgroup)
	s.Print.block("plumb diff --live", text)
	return err
}

// connectAll connects to every frontend until every backend has answered, and
// none else.
func (s *show) connectAll(context.Context) error {
	var errs []error
	connections, refused := 0, 0
	for _, c := range s.cases {
		reply, err := s.world.client.obey(order{Connect: c})
		if err != nil {
			return err
		}
		errs = append(errs, judge(c, reply))
		connections += total(reply.Answers)
		refused += total(reply.Errors)
		s.Print.verbose("%-44s %s", c.To, answersText(reply))
	}
	s.Print.line("%d frontends, %d connections answered by the right backends; %d to services without backends refused at once",
		len(s.cases), connections, refused)
	return errors.Join(errs...)
}

// judge compares who answered with who should have.
func judge(c *connectOrder, reply answer) error {
	want := map[string]bool{}
	for _, b := range c.Want {
		want[b.String()] = true
	}
	for name := range reply.Answers {
		if !want[name] {
			return check(false, "%s: %s answered, want one of %v", c.To, name, c.Want)
		}
	}
	switch {
	case len(c.Want) == 0:
		return check(reply.Errors["no route to host"] == c.Attempts, "%s has no backends, and connections to it ended as %v, want all refused", c.To, reply.Errors)
	case len(reply.Errors) > 0:
		return check(false, "%s: %v", c.To, reply.Errors)
	case c.Sticky:
		return check(len(reply.Answers) == 1, "%s has session affinity, but %v answered one client", c.To, reply.Answers)
	case len(reply.Answers) < len(want):
		return check(false, "%s: only %v of %v answered in %d connections", c.To, reply.Answers, c.Want, c.Attempts)
	}
	return check(reply.WrongPeers == 0, "%s: the peer of %d connections was shown as the backend", c.To, reply.WrongPeers)
}

func total(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

func answersText(reply answer) string {
	var parts []string
	for _, m := range []map[string]int{reply.Answers, reply.Errors} {
		names := make([]string, 0, len(m))
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			parts = append(parts, fmt.Sprintf("%s ×%d", name, m[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// pins is where the agent pins what it owns below a bpffs.
func pins(bpffs string) string { return filepath.Join(bpffs, "plumbline") }

// tamper runs the hidden command: another process, whose code is not the agent's.
func (s *show) tamper(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, s.Self, append([]string{TamperCommand, pins(s.world.bpffs)}, args...)...)
	out, err := command.CombinedOutput()
	s.Print.line("process %d: %s", command.Process.Pid, strings.TrimSpace(string(out)))
	return err
}

func (s *show) stopAgent(ctx context.Context) error {
	if err := s.agent.stop(); err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	return s.connectAll(ctx)
}

// elapsed is the time since t as a person reads it.
func elapsed(t time.Time) string { return time.Since(t).Round(time.Millisecond).String() }
