// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"plumbline.dev/plumbline/bpf/tamper"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/state"
)

// stranger is the address that the stale backend has: no pod has it.
var stranger = netip.MustParseAddr("10.244.99.99")

// damage is one kind of it, on a service of its own.
type damage struct {
	verb string
	kind plan.Kind // that the agent is to report
	on   *connectOrder
}

// damages picks IPv4 TCP frontends with several backends, of a service each.
func (s *show) damages() ([]damage, error) {
	list := []damage{{"stale-backend", plan.StaleBackend, nil}, {"delete-slot", plan.SlotGap, nil}, {"wrong-port", plan.WrongBackend, nil}}
	used := map[string]bool{}
	n := 0
	for _, c := range s.cases {
		service := s.service(c.To)
		if n == len(list) || c.Sticky || len(c.Want) < 2 || c.To.Protocol != state.TCP || !c.To.Address.Is4() || used[service] {
			continue
		}
		used[service] = true
		again := *c
		again.Attempts, again.All = 12*len(c.Want), true
		list[n].on = &again
		n++
	}
	return list, check(n == len(list), "the cluster has %d services to damage, want %d", n, len(list))
}

func (s *show) damageMaps(ctx context.Context) error {
	list, err := s.damages()
	if err != nil {
		return err
	}
	for _, d := range list {
		args := []string{d.verb, netip.AddrPortFrom(d.on.To.Address, d.on.To.Port).String(), strconv.Itoa(int(d.on.To.Protocol))}
		if err := s.tamper(ctx, args...); err != nil {
			return fmt.Errorf("tamper: %w", err)
		}
	}
	var errs []error
	for _, d := range list {
		reply, err := s.world.client.obey(order{Connect: d.on})
		if err != nil {
			return err
		}
		s.Print.line("%s (%s): %s", d.on.To, s.service(d.on.To), answersText(reply))
		errs = append(errs, check(total(reply.Errors) > 0, "%s was damaged (%s), but no connection failed", d.on.To, d.verb))
	}
	return errors.Join(errs...)
}

func (s *show) service(e state.Endpoint) string {
	for _, f := range s.want.Frontends {
		if f.Endpoint == e {
			return f.Service
		}
	}
	return "-"
}

func (s *show) mendMaps(ctx context.Context) error {
	list, err := s.damages()
	if err != nil {
		return err
	}
	r, err := s.agent.audit(ctx)
	if err != nil {
		return err
	}
	s.Print.drifts(r)
	errs := []error{mended(r)}
	for _, d := range list {
		errs = append(errs, check(reported(r, d.kind, d.on.To.String(), s.service(d.on.To)), "no drift %s of %s was reported", d.kind, d.on.To))
	}
	for _, d := range list {
		reply, err := s.world.client.obey(order{Connect: d.on})
		if err != nil {
			return err
		}
		s.Print.line("%s (%s): %s", d.on.To, s.service(d.on.To), answersText(reply))
		errs = append(errs, judge(d.on, reply))
	}
	return errors.Join(errs...)
}

func mended(r reconcile.Report) error {
	return check(r.Status == reconcile.InSync && r.Reason == reconcile.ReasonDriftCorrected, "the audit came to %s (%s) %s, want the drift corrected", r.Status, r.Reason, r.Error)
}

func reported(r reconcile.Report, kind plan.Kind, frontend, service string) bool {
	for _, d := range r.Drifts {
		if d.Kind == kind && (d.Frontend == frontend || frontend == "") && (d.Service == service || frontend == "") && d.AgeSeconds >= grace.Seconds() {
			return true
		}
	}
	return false
}

const victim = "plumb_connect4"

func (s *show) detachProgram(ctx context.Context) error {
	if err := s.tamper(ctx, "detach", victim); err != nil {
		return fmt.Errorf("tamper: %w", err)
	}
	list, err := s.damages()
	if err != nil {
		return err
	}
	probe := *list[0].on
	probe.Attempts = 2
	reply, err := s.world.client.obey(order{Connect: &probe})
	if err != nil {
		return err
	}
	s.Print.line("%s (%s): %s", probe.To, s.service(probe.To), answersText(reply))
	return check(total(reply.Answers) == 0 && total(reply.Errors) == probe.Attempts, "%s is detached, but %s still answers", victim, probe.To)
}

func (s *show) mendProgram(ctx context.Context) error {
	r, err := s.agent.audit(ctx)
	if err != nil {
		return err
	}
	s.Print.drifts(r)
	if err := errors.Join(mended(r), check(reported(r, plan.ProgramDetached, "", ""), "no drift %s was reported", plan.ProgramDetached)); err != nil {
		return err
	}
	return s.connectAll(ctx)
}

// Tamper is the hidden command's body: it damages what is pinned below pins and
// says what it did.
func Tamper(args []string) (string, error) {
	if len(args) == 3 && args[1] == "detach" {
		return "detached the link of " + args[2], tamper.Detach(args[0], args[2])
	}
	if len(args) != 4 {
		return "", errors.New("want PINS VERB ADDR:PORT PROTOCOL, or PINS detach PROGRAM")
	}
	frontend, err := netip.ParseAddrPort(args[2])
	if err != nil {
		return "", err
	}
	protocol, err := strconv.ParseUint(args[3], 10, 8)
	if err != nil {
		return "", err
	}
	target := tamper.Target{Pins: args[0], Frontend: frontend, Protocol: uint8(protocol)}
	switch args[1] {
	case "stale-backend":
		to := netip.AddrPortFrom(stranger, 8080)
		return fmt.Sprintf("slot 1 of %s now leads to %s, which no pod has", frontend, to), tamper.StaleBackend(target, to)
	case "delete-slot":
		return fmt.Sprintf("deleted slot 1 of %s", frontend), tamper.DeleteSlot(target)
	case "wrong-port":
		return fmt.Sprintf("the backend in slot 1 of %s now has port 9", frontend), tamper.WrongPort(target, 9)
	}
	return "", fmt.Errorf("unknown verb %q", args[1])
}
