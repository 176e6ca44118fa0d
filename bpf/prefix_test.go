// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// before and after are two moments of a cluster: a service grows, one shrinks,
// one is replaced whole, one gets a second scope, one goes, one comes.
const before = `layout cilium/1.17
frontend 10.96.0.1:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP,10.244.0.2:8080/TCP,10.244.0.3:8080/TCP inactive=-
frontend 10.96.0.2:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8081/TCP inactive=-
frontend 10.96.0.3:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8082/TCP,10.244.0.2:8082/TCP inactive=-
frontend 10.96.0.4:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP inactive=-
frontend 192.168.1.10:30080/TCP type=NodePort flags=- alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP,10.244.0.2:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
backend 10.244.0.2:8080/TCP state=active zone=0
backend 10.244.0.3:8080/TCP state=active zone=0
backend 10.244.0.1:8081/TCP state=active zone=0
backend 10.244.0.1:8082/TCP state=active zone=0
backend 10.244.0.2:8082/TCP state=active zone=0
`

const after = `layout cilium/1.17
frontend 10.96.0.1:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.2:8080/TCP inactive=10.244.0.1:8080/TCP
frontend 10.96.0.2:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8081/TCP,10.244.0.4:8081/TCP,10.244.0.5:8081/TCP inactive=-
frontend 10.96.0.3:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.3:8082/TCP,10.244.0.4:8082/TCP inactive=-
frontend 10.96.0.5:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.4:8081/TCP inactive=-
frontend 192.168.1.10:30080/TCP type=NodePort flags=Local,two-scopes alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP inactive=-
frontend 192.168.1.10:30080/TCP/i type=NodePort flags=Local,two-scopes alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP,10.244.0.2:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=terminating zone=0
backend 10.244.0.2:8080/TCP state=active zone=0
backend 10.244.0.1:8081/TCP state=active zone=0
backend 10.244.0.4:8081/TCP state=active zone=0
backend 10.244.0.5:8081/TCP state=active zone=0
backend 10.244.0.3:8082/TCP state=active zone=0
backend 10.244.0.4:8082/TCP state=active zone=0
`

// I3, against the real programs: between any two writes of a plan, a service
// that is there before and after answers every connection, by a backend that it
// had or is to have.
func TestPrivilegedInvariantI3TrafficFlowsAtEveryPrefix(t *testing.T) {
	for name, test := range map[string]struct{ from, to string }{"there": {before, after}, "and back": {after, before}} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, defaults)
			from, to := parse(t, test.from), parse(t, test.to)
			w.serve(from, to)
			w.hold(strings.TrimPrefix(test.from, "layout cilium/1.17\n"))
			result, err := plan.Diff(w.have(), to, nil)
			if err != nil {
				t.Fatal(err)
			}
			for n, step := range result.Plan {
				if step.Map.Desc().Content() {
					w.write(step)
				}
				w.checkShared(from, to, result.Plan[:n+1])
			}
			if again, err := plan.Diff(w.have(), to, nil); err != nil || len(again.Plan) > 0 {
				t.Errorf("after the plan: %v, still to do:\n%s", err, again.Plan)
			}
		})
	}
}

func parse(t *testing.T, text string) *state.State {
	t.Helper()
	st, err := state.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// serve starts the backends of all states at once.
func (w *testWorld) serve(states ...*state.State) {
	w.t.Helper()
	for _, st := range states {
		for _, b := range st.Backends {
			w.serveBackend(b.Endpoint)
		}
	}
}

// have reads the maps by plain iteration.
func (w *testWorld) have() *plan.Have {
	w.t.Helper()
	have := &plan.Have{Layout: state.Cilium117, Tables: layout.Tables{}}
	for _, d := range layout.Content() {
		m := w.maps[d.Name]
		if m == nil {
			continue
		}
		table := layout.NewTable(d.KeySize, d.ValueSize, 0)
		var key, value []byte
		entries := m.Iterate()
		for entries.Next(&key, &value) {
			table.Append(key, value)
		}
		if err := entries.Err(); err != nil {
			w.t.Fatal(err)
		}
		table.Sort()
		have.Tables[d.ID] = table
	}
	return have
}

func (w *testWorld) write(s plan.Step) {
	w.t.Helper()
	m := w.maps[s.Map.String()]
	var err error
	if s.Op == plan.Put {
		err = m.Put(s.Key, s.New)
	} else {
		err = m.Delete(s.Key)
	}
	if err != nil {
		w.t.Fatalf("%s: %v", s, err)
	}
}

// checkShared connects to every service of both states.
func (w *testWorld) checkShared(from, to *state.State, prefix plan.Plan) {
	w.t.Helper()
	for _, f := range to.Frontends {
		i := slices.IndexFunc(from.Frontends, func(g state.Frontend) bool { return g.FrontendName == f.FrontendName })
		if i < 0 || f.Scope == state.Internal {
			continue
		}
		allowed := map[string]bool{}
		for _, st := range []*state.State{from, to} {
			for _, g := range st.Frontends {
				if g.Endpoint == f.Endpoint {
					for s := range len(g.Backends) + len(g.Inactive) {
						b := g.Slot(s)
						allowed[netip.AddrPortFrom(b.Address, b.Port).String()] = true
					}
				}
			}
		}
		o := w.do(probe{Network: "tcp4", To: netip.AddrPortFrom(f.Address, f.Port).String(), Times: 8})
		if len(o.Errors) > 0 {
			w.t.Fatalf("%s: %v after:\n%s", f.FrontendName, o.Errors, prefix)
		}
		for name := range o.Answers {
			if !allowed[name] {
				w.t.Fatalf("%s was answered by %s after:\n%s", f.FrontendName, name, prefix)
			}
		}
	}
}
