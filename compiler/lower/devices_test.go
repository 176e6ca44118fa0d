// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"testing"

	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// WireGuard needs the native devices, other encryption alone does not; of mode
// own and of lb-only nothing is said, and of the latter that it is so.
func TestDevices(t *testing.T) {
	wireguard, _ := resolve(t, "1.18.6", map[string]any{"encryption": map[string]any{"enabled": true, "type": "wireguard"}})
	ipsec, _ := resolve(t, "1.18.6", map[string]any{"encryption": map[string]any{"enabled": true, "type": "ipsec"}})
	if !wireguard.Devices.Egress || ipsec.Devices.Egress {
		t.Errorf("egress is needed by WireGuard: %v, by IPsec: %v; want by WireGuard alone", wireguard.Devices.Egress, ipsec.Devices.Egress)
	}
	alone, list := resolve(t, "1.17.2", map[string]any{"bpf": map[string]any{"datapathMode": "lb-only"}})
	if alone.Devices != nil || len(list) != 1 || list[0].Code != CodeNotCompiled {
		t.Errorf("lb-only gives %+v, %v; want no devices and a %s", alone.Devices, list, CodeNotCompiled)
	}
	table, err := values.For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	env := environment("1.17.2")
	env.Datapath.Mode = state.Own
	if own, _ := Settings(env, table.Merge(nil)); own.Devices != nil {
		t.Errorf("mode own gives %+v, want no devices", own.Devices)
	}
}
