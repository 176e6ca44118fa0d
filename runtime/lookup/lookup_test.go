// SPDX-License-Identifier: Apache-2.0

package lookup_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/lookup"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

var update = flag.Bool("update", os.Getenv("PLUMB_UPDATE") == "1", "rewrite the goldens")

// world is one release's wanted and held maps.
type world struct {
	settings   *state.Settings
	want, have *lookup.Maps
}

// open reads a vector. damage changes what is held, before ids are compared.
func open(t *testing.T, version string, damage func(layout.Tables)) world {
	t.Helper()
	have := testvector.Tables(t, version)
	if damage != nil {
		damage(have)
	}
	l := testvector.Versions[version]
	// The ids are those of the maps before they were damaged: a new backend would
	// get another one, which is not what these tests are about.
	result, err := plan.Diff(&plan.Have{Layout: l, Tables: testvector.Tables(t, version)}, testvector.Want(t, version), nil)
	if err != nil {
		t.Fatal(err)
	}
	return world{testvector.Settings(version), &lookup.Maps{Tables: result.Target.Tables()}, &lookup.Maps{Tables: have}}
}

func query(t *testing.T, name, client string) lookup.Query {
	t.Helper()
	q := lookup.Query{NodeAddresses: testvector.Node.Addresses}
	if err := q.Frontend.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	if client != "" {
		q.Client = netip.MustParseAddr(client)
	}
	return q
}

func (w world) explain(q lookup.Query) *lookup.Report {
	return lookup.Explain(q, w.settings, w.want, w.have)
}

// key gives a service entry's key.
func key(t *testing.T, name string, slot uint16) []byte {
	return layout.ServiceKey{FrontendName: query(t, name, "").Frontend, Slot: slot}.Bytes()
}

// patch changes the bytes of one entry that has to be there; nil deletes it.
func patch(t *testing.T, tables layout.Tables, id layout.MapID, key []byte, change func(value []byte) []byte) {
	t.Helper()
	d := id.Desc()
	out, hit := layout.NewTable(d.KeySize, d.ValueSize, 0), false
	for k, v := range tables[id].All() {
		if string(k) == string(key) {
			hit = true
			if v = change(append([]byte(nil), v...)); v == nil {
				continue
			}
		}
		out.Append(k, v)
	}
	if !hit {
		t.Fatalf("%s has no key %x", id, key)
	}
	tables[id] = out
}

// Every frontend that Cilium wrote is followed to the same end in what it wrote
// and in what is wanted, in every layout; and none is not found.
func TestVectorsPartNowhere(t *testing.T) {
	for version := range testvector.Versions {
		w, n := open(t, version, nil), 0
		for _, f := range testvector.Want(t, version).Frontends {
			if f.Wildcard() {
				continue
			}
			n++
			r := w.explain(lookup.Query{Frontend: f.FrontendName})
			if !r.Want.Found || !r.Have.Found {
				t.Errorf("%s: %s: found want %v, have %v", version, f.FrontendName, r.Want.Found, r.Have.Found)
			}
			for _, p := range r.Partings {
				t.Errorf("%s: %s: %s %s: want %q, have %q", version, f.FrontendName, p.Step, p.Field, p.Want, p.Have)
			}
		}
		if n < 15 {
			t.Errorf("%s: %d frontends, want at least 15", version, n)
		}
	}
}

// The whole text, per layout: two ways that part, node ports in both scopes,
// source ranges, IPv6, and lookups that fall through.
func TestGolden(t *testing.T) {
	tour := []struct{ frontend, client string }{
		{"10.96.0.10:80/TCP", ""}, {"192.168.1.10:30080/TCP", ""}, {"192.168.1.10:30080/TCP/i", ""},
		{"203.0.113.30:80/TCP", "192.0.2.200"}, {"[fd00:10:96::10]:80/TCP", ""}, {"10.96.0.40:80/TCP", ""}, {"10.96.0.40:81/TCP", ""},
	}
	for version := range testvector.Versions {
		t.Run(version, func(t *testing.T) {
			w := open(t, version, func(have layout.Tables) { damage(t, have) })
			var out strings.Builder
			for _, stop := range tour {
				if err := w.explain(query(t, stop.frontend, stop.client)).WriteText(&out); err != nil {
					t.Fatal(err)
				}
				out.WriteString("\n")
			}
			golden(t, filepath.Join("testdata", version+".txt"), out.String())
		})
	}
}

// damage takes slot 1 of one frontend and leads slot 2 astray.
func damage(t *testing.T, have layout.Tables) {
	patch(t, have, layout.Services4, key(t, "10.96.0.10:80/TCP", 1), func([]byte) []byte { return nil })
	patch(t, have, layout.Services4, key(t, "10.96.0.10:80/TCP", 2), func(v []byte) []byte {
		v[0] = 0xee // a backend id that has no row
		return v
	})
	patch(t, have, layout.Services4, key(t, "192.168.1.10:30080/TCP", 0), func(v []byte) []byte {
		v[4] = 0 // count
		return v
	})
}

func golden(t *testing.T, file, have string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// One damage, one parting, and what traffic sees of it.
func TestDamage(t *testing.T) {
	const frontend = "10.96.0.30:80/TCP"
	master := func(at int, to byte) func(*testing.T, layout.Tables) {
		return func(t *testing.T, have layout.Tables) {
			patch(t, have, layout.Services4, key(t, frontend, 0), func(v []byte) []byte { v[at] = to; return v })
		}
	}
	slot := func(at int, to byte) func(*testing.T, layout.Tables) {
		return func(t *testing.T, have layout.Tables) {
			patch(t, have, layout.Services4, key(t, frontend, 2), func(v []byte) []byte { v[at] = to; return v })
		}
	}
	row := func(change func([]byte) []byte) func(*testing.T, layout.Tables) {
		return func(t *testing.T, have layout.Tables) {
			value, _ := have[layout.Services4].Find(key(t, frontend, 1))
			patch(t, have, layout.Backends4, value[:4], change)
		}
	}
	for _, c := range []struct {
		name        string
		damage      func(*testing.T, layout.Tables)
		step, field string
		why         string
	}{
		{"count too low", master(4, 1), "master", "count", "slots behind 1 get no connection"},
		{"count too high", master(4, 3), "master", "count", "slots 3 to 3 are chosen although nobody wants them"},
		{"count zero", master(4, 0), "master", "count", "every connection fails"},
		{"flag affinity", master(8, 0x10), "master", "flags", "affinity is too much: it says whether clients stay with their backend"},
		{"type", master(8, 0x20), "master", "type", "another type"},
		{"slot elsewhere", slot(0, 1), "slot 2", "backend id", "one connection in 2 goes to another backend"},
		{"slot dangling", slot(0, 0xee), "backend of slot 2", "answer", "one connection in 2 fails with EHOSTUNREACH"},
		{"slot's flags", slot(8, 0x77), "slot 2", "value", "decide nothing on this way"},
		{"slot's id", slot(7, 0xee), "slot 2", "reverse NAT id", "another id"},
		{"row elsewhere", row(func(v []byte) []byte { v[5] = 9; return v }), "backend of slot 1", "leads to", "one connection in 2 goes to another backend"},
		{"row's state", row(func(v []byte) []byte { v[7] = 2; return v }), "backend of slot 1", "state", "not active"},
		{"row gone", row(func([]byte) []byte { return nil }), "backend of slot 1", "answer", "one connection in 2 fails"},
		{"reverse NAT", func(t *testing.T, have layout.Tables) {
			value, _ := have[layout.Services4].Find(key(t, frontend, 0))
			patch(t, have, layout.ReverseNAT4, value[6:8], func(v []byte) []byte { v[5]++; return v })
		}, "reverse NAT", "answers come from", "another peer"},
		{"master gone", func(t *testing.T, have layout.Tables) {
			patch(t, have, layout.Services4, key(t, frontend, 0), func([]byte) []byte { return nil })
		}, "service", "answer", "not translated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, "1.17.2", func(have layout.Tables) { c.damage(t, have) })
			partings := w.explain(query(t, frontend, "")).Partings
			if values := slices.IndexFunc(partings, func(p lookup.Parting) bool { return p.Step == "service" && p.Field == "value" }); values >= 0 {
				t.Errorf("the master's bytes are said to differ beside what they say: %+v", partings)
			}
			for _, p := range partings {
				if p.Step == c.step && p.Field == c.field {
					if !strings.Contains(p.Why, c.why) {
						t.Errorf("why %q, want one with %q", p.Why, c.why)
					}
					return
				}
			}
			t.Errorf("no parting at %s, %s: %+v", c.step, c.field, partings)
		})
	}
}

// What a client outside meets at its ranges, allowed and denied.
func TestClientAgainstRanges(t *testing.T) {
	deny := func(have layout.Tables) {
		patch(t, have, layout.Services4, key(t, "203.0.113.30:80/TCP", 0), func(v []byte) []byte { v[9] |= 0x40; return v })
	}
	for _, c := range []struct {
		client string
		damage func(layout.Tables)
		want   string
	}{
		{"203.0.113.7", nil, "one of 2 backends"},
		{"192.0.2.200", nil, "dropped: the source ranges do not let the client in"},
		{"203.0.113.7", deny, "dropped: the source ranges do not let the client in"},
		{"192.0.2.200", deny, "one of 2 backends"},
	} {
		r := open(t, "1.20.2", c.damage).explain(query(t, "203.0.113.30:80/TCP", c.client))
		steps := r.Have.Steps
		last := steps[len(steps)-1]
		if got := last.Fields[1]; got.Name != "from outside" || got.Value != c.want {
			t.Errorf("%s, denied %v: %+v, want %q", c.client, c.damage != nil, got, c.want)
		}
	}
}

// A port of the node's is found under the surrogate where its own entry is gone,
// and only at the node's own addresses.
func TestSurrogate(t *testing.T) {
	w := open(t, "1.17.2", func(have layout.Tables) {
		patch(t, have, layout.Services4, key(t, "192.168.1.10:30081/TCP", 0), func([]byte) []byte { return nil })
	})
	q := query(t, "192.168.1.10:30081/TCP", "")
	if r := w.explain(q); !r.Have.Found || r.Have.Steps[2].Name != "service, surrogate" {
		t.Errorf("the surrogate was not found: %+v", r.Have)
	}
	q.NodeAddresses = nil
	if r := w.explain(q); r.Have.Found {
		t.Error("a surrogate answered at an address that is not known to be the node's")
	}
}

// An entry of protocol ANY answers until 1.18, and for nobody after.
func TestAnyProtocol(t *testing.T) {
	for version, want := range map[string]bool{"1.17.2": true, "1.18.6": true, "1.19.0": false, "1.20.2": false} {
		w := open(t, version, func(have layout.Tables) {
			value, _ := have[layout.Services4].Find(key(t, "10.96.0.30:80/TCP", 0))
			any := key(t, "10.96.0.30:80/ANY", 0)
			have[layout.Services4].Append(any, value)
			patch(t, have, layout.Services4, key(t, "10.96.0.30:80/TCP", 0), func([]byte) []byte { return nil })
		})
		if r := w.explain(query(t, "10.96.0.30:80/TCP", "")); r.Have.Found != want {
			t.Errorf("%s: found %v, want %v", version, r.Have.Found, want)
		}
	}
}

// What is in neither is told from what is near it.
func TestNearest(t *testing.T) {
	w := open(t, "1.19.0", func(have layout.Tables) {
		patch(t, have, layout.Services4, key(t, "10.96.0.10:53/UDP", 0), func([]byte) []byte { return nil })
	})
	for _, c := range []struct{ frontend, want string }{
		{"10.96.0.10:54/UDP", "10.96.0.10:53/UDP (want): the same address, another port"},
		{"10.96.0.10:53/TCP", "10.96.0.10:53/UDP (want): the same address and port, protocol UDP"},
		{"10.96.0.99:8081/TCP", "0.0.0.0:8081/TCP (both): the same port, another address"},
		{"[fd00::1]:9999/TCP", "Nothing is near it"},
	} {
		r := w.explain(query(t, c.frontend, ""))
		var out strings.Builder
		if err := r.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		if r.Found() || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: found %v, want %q in:\n%s", c.frontend, r.Found(), c.want, out.String())
		}
	}
}

// Bytes of any content are followed, and the report is JSON with its words.
func TestGarbage(t *testing.T) {
	w := open(t, "1.20.2", func(have layout.Tables) {
		for _, id := range []layout.MapID{layout.Services4, layout.Backends4, layout.ReverseNAT4} {
			d := id.Desc()
			out := layout.NewTable(d.KeySize, d.ValueSize, 0)
			for k, v := range have[id].All() {
				for i := range v {
					v[i] ^= 0x5a
				}
				out.Append(k, v)
			}
			have[id] = out
		}
	})
	r := w.explain(query(t, "10.96.0.10:80/TCP", "10.0.0.1"))
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Frontend string
		Want     struct{ Found bool }
		Partings []struct{ Step, Field, Want, Have, Why string }
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.Frontend != "10.96.0.10:80/TCP" || !back.Want.Found || len(back.Partings) == 0 {
		t.Errorf("have %.200s", data)
	}
}

// A parting counts when two reports have it.
func TestConfirm(t *testing.T) {
	q := query(t, "10.96.0.10:80/TCP", "")
	calm := open(t, "1.17.2", nil).explain(q)
	first := open(t, "1.17.2", func(have layout.Tables) { damage(t, have) }).explain(q)
	second := open(t, "1.17.2", func(have layout.Tables) { damage(t, have) }).explain(q)
	n := len(second.Partings)
	if second.Confirm(first); n == 0 || len(second.Partings) != n {
		t.Errorf("%d of %d partings are left of two equal reports", len(second.Partings), n)
	}
	if second.Confirm(calm); len(second.Partings) != 0 {
		t.Errorf("%d partings are left that only one report has", len(second.Partings))
	}
}

// A socket is in the cluster: of a service with two scopes it gets the internal
// entry, and of a protocol that sockets are not translated for, none.
func TestSockets(t *testing.T) {
	w := open(t, "1.18.6", nil)
	steps := w.explain(query(t, "192.168.1.10:30080/TCP", "")).Have.Steps
	if got := steps[len(steps)-1].Fields[0].Value; got != "led to 192.168.1.10:30080/TCP/i" {
		t.Errorf("from a socket: %q, want the internal entry", got)
	}
	value, _ := w.have.Tables[layout.Services4].Find(key(t, "10.96.0.40:80/TCP", 0))
	w.have.Tables[layout.Services4].Append(key(t, "10.96.0.40:80/SCTP", 0), value)
	steps = w.explain(query(t, "10.96.0.40:80/SCTP", "")).Have.Steps
	if got := steps[len(steps)-1].Fields[0].Value; !strings.HasPrefix(got, "not translated") {
		t.Errorf("SCTP from a socket: %q", got)
	}
}
