// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// otherNames are names under which facts are stated too, and the one by which
// rules know each.
var otherNames = map[string]string{
	"podCIDR": "podCIDRs", "serviceCIDR": "serviceCIDRs",
	"nodeCIDR": "nodeCIDRs", "nodeNetworks": "nodeCIDRs", "nodeNetwork": "nodeCIDRs",
	"otherCNI": "otherCNIs", "cnis": "otherCNIs", "mesh": "meshes", "serviceMesh": "meshes",
	"workload": "workloads", "runtimes": "workloads", "runtime": "workloads",
	"nics": "devices", "interfaces": "devices", "nodeOS": "os", "kernelVersion": "kernel",
	"gatewayCRDs": "gatewayAPI", "previousIpamMode": "previousIPAM", "previousIPAMMode": "previousIPAM",
	"fromVersion": "previousVersion", "nodeCount": "nodes", "cloudProvider": "cloud", "uplinkMTU": "mtu",
	"serviceNodePortRange": "nodePortRange", "ephemeralPortRange": "ephemeralPorts", "policy": "policies",
	"controlPlaneCount": "controlPlanes", "manifests": "resources", "apiserver": "apiServerFlags", "sysctl": "sysctls",
}

// readers turn a fact, as people state it, into the form that rules read. What
// they can't read stays as it is.
var readers = map[string]func(any) any{
	"kubeProxy": yesNo, "kubePrism": yesNo, "hostDNS": yesNo, "hostPorts": yesNo, "flannel": yesNo,
	"networkPolicyController": yesNo, "gatewayPrefix": yesNo, "policies": yesNo, "apiBalanced": yesNo,
	"podCIDRs": list, "serviceCIDRs": list, "nodeCIDRs": list, "controlPlaneAddresses": list,
	"otherCNIs": names, "meshes": names, "workloads": names, "crds": groups, "podRoutes": firstWord, "resources": names, "secrets": names,
	"devices": devices, "kernel": majorMinor, "gatewayAPI": majorMinor, "kubernetes": majorMinor,
	"previousVersion": majorMinor, "ephemeralPorts": portRange, "nodePortRange": portRange, "nodes": count, "controlPlanes": count,
	"services": count, "loadBalancerServices": count,
}

// Facts gives facts of a cluster in the form that rules read: each under one
// name, lists as lists, a version "6.1" as the number 6001, a port range as from
// and to. An empty list of what every cluster has says nothing and is left out.
func Facts(stated map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range stated {
		if known, ok := otherNames[name]; ok {
			if _, both := stated[known]; !both {
				name = known
			}
		}
		if read := readers[name]; read != nil && v != nil {
			v = read(v)
		}
		out[name] = v
	}
	fromFlags(out)
	for _, name := range []string{"podCIDRs", "serviceCIDRs", "nodeCIDRs", "devices"} {
		if l, ok := out[name].([]any); ok && len(l) == 0 {
			delete(out, name)
		}
	}
	return out
}

// StatedAs gives the names under which an author may have stated a fact.
func StatedAs(fact string) []string {
	names := []string{fact}
	for other, known := range otherNames {
		if known == fact {
			names = append(names, other)
		}
	}
	slices.Sort(names[1:])
	return names
}

var (
	affirms = regexp.MustCompile(`(?i)^(true|yes|present|on|enabled|running|installed)\b`)
	denies  = regexp.MustCompile(`(?i)^(false|no|none|not|absent|off|disabled|removed|missing)\b`)
)

// yesNo reads "present" and "absent" as booleans.
func yesNo(v any) any {
	s, ok := v.(string)
	switch {
	case !ok:
		return v
	case affirms.MatchString(s):
		return true
	case denies.MatchString(s):
		return false
	}
	return nil
}

// list makes a list of one value.
func list(v any) any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// names reads names in lower case; "none" is an empty list.
func names(v any) any {
	out := []any{}
	for _, item := range list(v).([]any) {
		s := strings.ToLower(strings.TrimSpace(fmt.Sprint(item)))
		if s != "" && !denies.MatchString(s) {
			out = append(out, s)
		}
	}
	return out
}

// groups reads names of CRDs or of their API groups, which have dots; words about
// them say nothing of which are there.
func groups(v any) any {
	list, _ := names(v).([]any)
	named := slices.DeleteFunc(slices.Clone(list), func(n any) bool { return !strings.Contains(fmt.Sprint(n), ".") || strings.Contains(fmt.Sprint(n), " ") })
	if len(named) == 0 && len(list) > 0 {
		return nil
	}
	return named
}

// firstWord reads "none for other nodes" as "none".
func firstWord(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(s)), " ")
	return word
}

// fromFlags reads facts that are stated as flags of the API server or as sysctls.
func fromFlags(facts map[string]any) {
	for name, from := range map[string]struct{ fact, setting string }{
		"nodePortRange":  {"apiServerFlags", "service-node-port-range"},
		"ephemeralPorts": {"sysctls", "ip_local_port_range"},
	} {
		text := fmt.Sprint(facts[from.fact])
		_, value, ok := strings.Cut(text, from.setting)
		if !ok || facts[name] != nil {
			continue
		}
		if m := firstRange.FindStringSubmatch(value); m != nil {
			facts[name] = map[string]any{"from": number(m[1]), "to": number(m[2])}
		}
	}
}

var firstRange = regexp.MustCompile(`^[=:\s"]*([0-9]+)\s*[-, \t]\s*([0-9]+)`)

// devices reads network devices: names, names with their MTU, or objects.
func devices(v any) any {
	out := []any{}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sorted(v) {
			out = append(out, device(name, v[name]))
		}
	case []any:
		for _, item := range v {
			if object, ok := item.(map[string]any); ok {
				out = append(out, device(fmt.Sprint(object["name"]), object))
				continue
			}
			out = append(out, device(fmt.Sprint(item), nil))
		}
	default:
		out = append(out, device(fmt.Sprint(v), nil))
	}
	return out
}

// device reads "bond0 (two ports)" as a name and words about it.
func device(text string, more any) map[string]any {
	name, about, _ := strings.Cut(strings.TrimSpace(text), " ")
	out := map[string]any{"name": name, "mtu": nil, "kind": strings.ToLower(about), "defaultRoute": nil}
	if object, ok := more.(map[string]any); ok {
		for key, v := range object {
			if v != nil {
				out[key] = v
			}
		}
		return out
	}
	if more != nil {
		out["mtu"] = more
	}
	return out
}

var versionStart = regexp.MustCompile(`^v?([0-9]+)\.([0-9]+)`)

// majorMinor reads "5.4.209" as 5004, so that versions compare as numbers.
func majorMinor(v any) any {
	m := versionStart.FindStringSubmatch(strings.TrimSpace(fmt.Sprint(v)))
	if m == nil {
		return nil
	}
	return number(m[1])*1000 + number(m[2])
}

var rangeForm = regexp.MustCompile(`([0-9]+)\s*[-, \t]\s*([0-9]+)\s*$`)

// portRange reads "32768-60999", also at the end of a flag or a sysctl.
func portRange(v any) any {
	m := rangeForm.FindStringSubmatch(fmt.Sprint(v))
	if m == nil {
		return v
	}
	return map[string]any{"from": number(m[1]), "to": number(m[2])}
}

var digits = regexp.MustCompile(`^[0-9]+`)

// count reads a number at the start of a text.
func count(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if m := digits.FindString(s); m != "" {
		return number(m)
	}
	return nil
}

// about joins what facts say of the ground that a cluster stands on.
func about(in Input) string {
	facts := Facts(in.Cluster)
	parts := []string{in.Platform}
	for _, name := range []string{"distribution", "os", "cloud", "hypervisor", "installer"} {
		if s, ok := facts[name].(string); ok {
			parts = append(parts, s)
		}
	}
	return strings.ToLower(strings.Join(parts, " "))
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
