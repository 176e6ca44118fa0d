// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema/state"
)

// devices resolves what is said of the programs at network devices. In mode own
// there are none, and of datapath mode lb-only (1.17) nothing is known.
func (r *resolver) devices(s *state.Settings) *state.DeviceSettings {
	if s.Mode == state.Own {
		return nil
	}
	mode := option{"bpf.datapathMode", "datapath-mode"}
	if r.plain(mode) == "lb-only" {
		_, path := r.text(mode, "")
		r.add(CodeNotCompiled, diag.Warning, path, "", "of datapath mode lb-only the programs at devices are not compiled: they are not judged")
		return nil
	}
	d := &state.DeviceSettings{
		Names:        r.deviceNames(),
		TCX:          r.boolean(option{"bpf.enableTCX", "enable-tcx"}, true),
		Egress:       s.KubeProxyReplacement || r.needsDevices(),
		Acceleration: r.word(option{"loadBalancer.acceleration", "bpf-lb-acceleration"}, "disabled", "disabled", "native", "best-effort", "testing-only"),
	}
	protocol := r.word(option{"tunnelProtocol", "tunnel-protocol"}, "vxlan", "vxlan", "geneve")
	if s.Routing == "tunnel" {
		d.Tunnel = protocol
	}
	return d
}

// needsDevices tells whether something else than node ports needs the native
// devices (pkg/option/config.go, AreDevicesRequired, 1.17 to 1.20).
func (r *resolver) needsDevices() bool {
	wireguard := r.switchedOn("encryption.enabled") && r.plain(option{"encryption.type", ""}) == "wireguard"
	firewall := r.boolean(option{"hostFirewall.enabled", "enable-host-firewall"}, false)
	announced := r.boolean(option{"l2announcements.enabled", "enable-l2-announcements"}, false)
	return wireguard || firewall || announced
}

func (r *resolver) deviceNames() []string {
	text, _ := r.text(option{"devices", "devices"}, "")
	list := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return slices.Compact(list)
}
