// SPDX-License-Identifier: Apache-2.0

package source

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

const redirects = `
-- a.yaml --
apiVersion: cilium.io/v2
kind: CiliumLocalRedirectPolicy
metadata: {name: one, namespace: n}
spec:
  skipRedirectFromBackend: true
  redirectFrontend: {addressMatcher: {ip: 169.254.169.254, toPorts: [{port: "80", protocol: TCP, name: http}]}}
  redirectBackend:
    localEndpointSelector: {matchLabels: {app: x}, matchExpressions: [{key: tier, operator: NotIn, values: [b, a]}]}
    toPorts: [{port: "8080", protocol: TCP}]
---
apiVersion: cilium.io/v2
kind: CiliumLocalRedirectPolicy
metadata: {name: two, namespace: n}
spec:
  redirectFrontend: {serviceMatcher: {serviceName: s, namespace: n}}
  redirectBackend: {localEndpointSelector: {}, toPorts: [{port: "53", protocol: UDP}]}
---
apiVersion: cilium.io/v2
kind: CiliumLocalRedirectPolicy
metadata: {name: bad, namespace: n}
spec:
  redirectFrontend: {serviceMatcher: {serviceName: s, namespace: n}}
  redirectBackend:
    localEndpointSelector: {matchExpressions: [{key: app, operator: Is, values: [x]}]}
    toPorts: [{port: "53", protocol: UDP}]
---
apiVersion: cilium.io/v2alpha1
kind: CiliumLocalRedirectPolicy
metadata: {name: old, namespace: n}
---
apiVersion: cilium.io/v2
kind: CiliumEnvoyConfig
metadata: {name: envoy, namespace: n}
spec:
  services:
  - {name: s, listener: l}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: n, labels: {app: x}}
spec: {nodeName: w, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
`

func TestRedirectPolicies(t *testing.T) {
	got, notices := read(t, redirects, state.Node{})
	for i := range got.RedirectPolicies {
		got.RedirectPolicies[i].Pos = state.Position{}
	}
	want := []state.RedirectPolicy{
		{
			Namespace: "n", Name: "one", SkipFromBackend: true, Selector: "app=x,tier notin (a,b)",
			Address: &state.RedirectAddress{IP: "169.254.169.254", Ports: []state.RedirectPort{{Port: "80", Protocol: "TCP", Name: "http"}}},
			ToPorts: []state.RedirectPort{{Port: "8080", Protocol: "TCP"}},
		},
		{Namespace: "n", Name: "two", Service: &state.RedirectService{Namespace: "n", Name: "s"}, ToPorts: []state.RedirectPort{{Port: "53", Protocol: "UDP"}}},
	}
	if diff := cmp.Diff(want, got.RedirectPolicies, compareValues); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if len(got.Pods) != 1 || !got.Pods[0].Ready || got.Pods[0].Ports[0] != (state.EndpointPort{Name: "http", Protocol: state.TCP, Port: 8080}) {
		t.Errorf("pods %+v", got.Pods)
	}
	wantNotices := []string{
		`error snapshot/redirect-policy a.yaml:24: CiliumLocalRedirectPolicy n/bad: spec.redirectBackend.localEndpointSelector: the selector is not understood: "Is" is not a valid label selector operator; the policy is left out; want a label selector`,
		`error snapshot/unknown-version a.yaml:27: CiliumLocalRedirectPolicy old: version cilium.io/v2alpha1 is not read; the object is left out; want cilium.io/v2`,
	}
	if diff := cmp.Diff(wantNotices, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// Without a policy a pod without host ports has no bearing.
func TestPodsWithoutPolicies(t *testing.T) {
	_, pod, _ := strings.Cut(redirects, "listener: l}\n---\n")
	got, notices := read(t, "-- a.yaml --\n"+pod, state.Node{})
	if len(got.Pods)+len(notices) != 0 {
		t.Errorf("pods %+v, notices %v", got.Pods, notices)
	}
}
