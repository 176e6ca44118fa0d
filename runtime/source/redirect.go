// SPDX-License-Identifier: Apache-2.0

package source

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/schema/state"
)

// RedirectPolicyObject is cilium.io/v2 CiliumLocalRedirectPolicy, as
// pkg/k8s/apis/cilium.io/v2/clrp_types.go has it from 1.17 to 1.20.
type RedirectPolicyObject struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            struct {
		RedirectFrontend struct {
			AddressMatcher *redirectAddress `json:"addressMatcher"`
			ServiceMatcher *redirectService `json:"serviceMatcher"`
		} `json:"redirectFrontend"`
		RedirectBackend struct {
			LocalEndpointSelector metav1.LabelSelector `json:"localEndpointSelector"`
			ToPorts               []redirectPort       `json:"toPorts"`
		} `json:"redirectBackend"`
		SkipRedirectFromBackend bool   `json:"skipRedirectFromBackend"`
		Description             string `json:"description"`
	} `json:"spec"`
	Status map[string]any `json:"status"`
}

type redirectAddress struct {
	IP      string         `json:"ip"`
	ToPorts []redirectPort `json:"toPorts"`
}

type redirectService struct {
	ServiceName string         `json:"serviceName"`
	Namespace   string         `json:"namespace"`
	ToPorts     []redirectPort `json:"toPorts"`
}

type redirectPort struct {
	Port     string `json:"port"`
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
}

// RedirectPolicy converts a CiliumLocalRedirectPolicy. Its ports and addresses
// are kept as they are written: what is wrong with them, the compiler says. Beside
// a Notice the policy is not to be used.
func RedirectPolicy(in *RedirectPolicyObject) (state.RedirectPolicy, []state.Notice) {
	n := &notes{object: "CiliumLocalRedirectPolicy " + in.Metadata.Namespace + "/" + in.Metadata.Name}
	out := state.RedirectPolicy{
		Namespace: in.Metadata.Namespace, Name: in.Metadata.Name,
		ToPorts: redirectPorts(in.Spec.RedirectBackend.ToPorts), SkipFromBackend: in.Spec.SkipRedirectFromBackend,
	}
	if m := in.Spec.RedirectFrontend.AddressMatcher; m != nil {
		out.Address = &state.RedirectAddress{IP: m.IP, Ports: redirectPorts(m.ToPorts)}
	}
	if m := in.Spec.RedirectFrontend.ServiceMatcher; m != nil {
		out.Service = &state.RedirectService{Namespace: m.Namespace, Name: m.ServiceName, Ports: redirectPorts(m.ToPorts)}
	}
	selector, err := metav1.LabelSelectorAsSelector(&in.Spec.RedirectBackend.LocalEndpointSelector)
	if err != nil {
		n.add(state.Error, "snapshot/redirect-policy", "spec.redirectBackend.localEndpointSelector", "want a label selector", "the selector is not understood: %v; the policy is left out", err)
		return out, n.list
	}
	out.Selector = selector.String()
	return out, n.list
}

func redirectPorts(list []redirectPort) []state.RedirectPort {
	var out []state.RedirectPort
	for _, p := range list {
		out = append(out, state.RedirectPort{Port: p.Port, Name: p.Name, Protocol: p.Protocol})
	}
	return out
}
