// SPDX-License-Identifier: Apache-2.0

package values

import (
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	object, scalar := Node{Kind: Object}, Node{Kind: Bool, Scalar: true}
	for _, c := range []struct {
		minor, path string
		value       Node
		want        string
	}{
		// A sibling at a small distance.
		{"1.17", "kubeProxyReplacment", scalar, `did you mean "kubeProxyReplacement"?`},
		{"1.17", "hubble.realy", object, `did you mean "hubble.relay"?`},
		{"1.17", "loadbalancer.mode", scalar, ``},
		{"1.17", "LoadBalancer", object, `did you mean "loadBalancer"?`},
		{"1.17", "enable-ipv4masquerade", scalar, `did you mean "enableIPv4Masquerade"?`},
		{"1.17", "gateway-api", object, `did you mean "gatewayAPI"?`},
		{"1.17", "bpf.masquarade", scalar, `did you mean "bpf.masquerade"?`},
		{"1.17", "cni.exclusiv", scalar, `did you mean "cni.exclusive"?`},
		// The same name elsewhere goes before a sibling at a larger distance.
		{"1.17", "hostRoot", scalar, `did you mean "cgroup.hostRoot"?`},
		{"1.17", "lbExternalClusterIP", scalar, `did you mean "bpf.lbExternalClusterIP"?`},
		{"1.17", "bpf.serviceNoBackendResponse", scalar, `did you mean "serviceNoBackendResponse"?`},
		{"1.17", "bpf.events.monitorInterval", scalar, `did you mean "bpf.monitorInterval"?`},
		{"1.17", "hubble.enableOpenMetrics", scalar, `did you mean "hubble.metrics.enableOpenMetrics"?`},
		// The list of wrong parents and wrong names.
		{"1.17", "autoMount", object, `did you mean "cgroup.autoMount"?`},
		{"1.17", "k8sHost", scalar, `did you mean "k8sServiceHost"?`},
		{"1.17", "wireguard", object, `did you mean "encryption.wireguard"?`},
		{"1.17", "localRedirect", scalar, `did you mean "localRedirectPolicy"?`},
		{"1.18", "localRedirect", scalar, `did you mean "localRedirectPolicies" or "localRedirectPolicy"?`},
		// A sibling at a larger distance.
		{"1.17", "ingressControler2", object, `did you mean "ingressController"?`},
		{"1.17", "hubble.dropEventsEmiter", object, `did you mean "hubble.dropEventEmitter"?`},
		// Options of the agent.
		{"1.17", `"enable-l7-proxy"`, scalar, `enable-l7-proxy is an option of the agent; the value that sets it is "l7Proxy"`},
		{"1.17", `"bpf-lb-sock"`, scalar, `bpf-lb-sock is an option of the agent; the value that sets it is "socketLB.enabled"`},
		{"1.17", `"no-such-option"`, scalar, `if it is an option of the agent, it belongs into extraConfig`},
		// --set notation in a file.
		{"1.17", `"ipam.mode"`, scalar, `a dot in a name is no path: write ipam: mode`},
		{"1.17", `hubble."relay.enabled"`, scalar, `a dot in a name is no path: write hubble: relay: enabled`},
		// Later charts.
		{"1.17", "clustermesh.mcsapi", object, `the chart has it from 1.19 on`},
		// A common name says nothing, nor does a short one.
		{"1.17", "webhook.enabled", scalar, ``},
		{"1.17", "foo", scalar, ``},
		{"1.17", "on", scalar, ``},
		{"1.17", "zebra", object, ``},
	} {
		table, err := For(c.minor)
		if err != nil {
			t.Fatal(err)
		}
		if got := table.suggest(c.path, &c.value); got != c.want {
			t.Errorf("%s %s:\nwant %s\nhave %s", c.minor, c.path, c.want, got)
		}
	}
}

// TestHintsMeanKeys checks that every key in hints.txt stands in some table and
// that no name in it is a key itself.
func TestHintsMeanKeys(t *testing.T) {
	if len(hints()) < 50 {
		t.Fatalf("%d hints", len(hints()))
	}
	for name, meant := range hints() {
		for _, m := range meant {
			known := false
			for _, minor := range Minors() {
				table, err := For(minor)
				if err != nil {
					t.Fatal(err)
				}
				_, ok := table.exact(m)
				known = known || ok
				if _, isKey := table.exact(name); isKey && strings.Contains(name, ".") {
					t.Errorf("%s is a key of %s", name, minor)
				}
			}
			if !known {
				t.Errorf("%s: no chart has %s", name, m)
			}
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abcd", "badc", 2},
		{"relay", "realy", 1}, {"kitten", "sitting", 3}, {"ä", "a", 1}, {"enabeld", "enabled", 1},
	} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: want %d, have %d", c.a, c.b, c.want, got)
		}
		if got := editDistance(c.b, c.a); got != c.want {
			t.Errorf("%q to %q: want %d, have %d", c.b, c.a, c.want, got)
		}
	}
}

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false}, {"ab*ba", "aba", false},
	} {
		if got := matchName(c.glob, c.name); got != c.want {
			t.Errorf("%q on %q: want %v", c.glob, c.name, c.want)
		}
	}
}
