// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

// encryptions are the options that choose how to encrypt as they turn it on.
var encryptions = map[string]string{"enable-wireguard": "wireguard", "enable-ipsec": "ipsec"}

// overlay lays what extraConfig says over the values that the chart renders the
// same options from: of an option that stands twice, extraConfig's counts. It
// gives the options that it found, by the path of the value.
func overlay(t tree, table *values.Table) map[string]string {
	extra, _ := t["extraConfig"].(map[string]any)
	found := map[string]string{}
	for option, v := range extra {
		from := table.Option(option)
		if len(from) != 1 || v == nil {
			continue // several values make the option, or none that is known
		}
		found[from[0]] = option
		if b, err := strconv.ParseBool(fmt.Sprint(v)); err == nil {
			v = b
		}
		t.put(from[0], v)
		if kind := encryptions[option]; kind != "" && v == true {
			t.put("encryption.type", kind)
		}
	}
	return found
}

// put sets what lies under a dotted path.
func (t tree) put(path string, v any) {
	names := strings.Split(path, ".")
	object := map[string]any(t)
	for _, name := range names[:len(names)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[names[len(names)-1]] = v
}

// envoy tells whether Envoy has a DaemonSet of its own. Where nothing is said the
// chart gives it one, but to installations that keep to what was before 1.16 (its
// helper envoyDaemonSetEnabled).
func envoy(t tree) bool {
	if !agent(t) || t.at("l7Proxy") == false {
		return false
	}
	if said := t.at("envoy.enabled"); said != nil {
		return said == true
	}
	compatible := strings.SplitN(t.text("upgradeCompatibility"), ".", 3)
	if len(compatible) < 2 {
		return true
	}
	major, errMajor := strconv.Atoi(compatible[0])
	minor, errMinor := strconv.Atoi(compatible[1])
	return errMajor != nil || errMinor != nil || slices.Compare([]int{major, minor}, []int{1, 16}) >= 0
}

// agent tells whether the chart installs the agent.
func agent(t tree) bool { return t.at("agent") != false }

// hubble tells whether the agent has Hubble: without it the rest of Hubble does
// nothing.
func hubble(t tree) bool { return t.at("hubble.enabled") != false }
