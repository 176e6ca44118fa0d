// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// deviceAttachments lists Cilium's programs at network devices, as far as they
// are known: at its own pair of devices always, at a tunnel's where there is one,
// and at native ones. Cilium attaches them in pkg/datapath/loader: loader.go in
// 1.17, host.go, overlay.go and xdp.go from 1.18 on. Those of pods and of WireGuard
// are not listed: which there are is not in a Snapshot.
func deviceAttachments(s *state.Settings, native []string) []state.Attachment {
	d := s.Devices
	if d == nil || s.Mode == state.Own {
		return nil
	}
	by := "tc_"
	if d.TCX {
		by = "tcx_"
	}
	var list []state.Attachment
	add := func(program, attach, device string) {
		list = append(list, state.Attachment{Program: program, Attach: attach, Target: state.DeviceTarget(device)})
	}
	add("cil_to_host", by+"ingress", "cilium_host")
	add("cil_from_host", by+"egress", "cilium_host")
	add("cil_to_host", by+"ingress", "cilium_net")
	if d.Tunnel != "" {
		add("cil_from_overlay", by+"ingress", "cilium_"+d.Tunnel)
		add("cil_to_overlay", by+"egress", "cilium_"+d.Tunnel)
	}
	mode := xdpMode(d.Acceleration)
	for _, device := range native {
		add("cil_from_netdev", by+"ingress", device)
		if d.Egress {
			add("cil_to_netdev", by+"egress", device)
		}
		if mode != "" {
			add("cil_xdp_entry", mode, device)
		}
	}
	return list
}

// xdpMode is how a program hangs at XDP; best-effort leaves it to the driver, and
// is not known (pkg/option/config.go, bpf-lb-acceleration, 1.17 to 1.20).
func xdpMode(acceleration string) string {
	switch acceleration {
	case "native":
		return "xdp"
	case "testing-only":
		return "xdp_generic"
	}
	return ""
}

// nativeDevices finds the devices that face the network. Names select among the
// node's own that are up and have an address; where those are not known, a name
// that is no pattern counts as there. Without names it is the devices with an
// address of the node that the agent's detection takes; it may take more.
func nativeDevices(d *state.DeviceSettings, node *state.Node) []string {
	var list []string
	if len(node.Devices) == 0 {
		for _, name := range d.Names {
			if !strings.HasSuffix(name, "+") {
				list = append(list, name)
			}
		}
	}
	for _, device := range node.Devices {
		named := slices.ContainsFunc(d.Names, func(name string) bool { return selects(name, device.Name) })
		ours := slices.ContainsFunc(device.Addresses, func(a netip.Addr) bool { return slices.Contains(node.Addresses, a) })
		switch {
		case !device.Up || len(device.Addresses) == 0:
		case named, len(d.Names) == 0 && d.Egress && ours && detectable(device):
			list = append(list, device.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// undetected begin the names of devices that detection leaves out (pkg/defaults,
// ExcludedDevicePrefixes, 1.17 to 1.20).
var undetected = []string{"cilium_", "lo", "lxc", "cni", "docker"}

// detectable tells whether the agent's detection takes a device that is up and has
// an address (pkg/datapath/linux/devices_controller.go, isSelectedDevice, 1.17 to
// 1.20). A veth counts where the default route leads through it, as in a node that
// is a container.
func detectable(d state.Device) bool {
	switch {
	case d.Inner, d.Kind == "bridge", d.Kind == "openvswitch", d.Kind == "veth" && !d.DefaultRoute:
		return false
	}
	return !slices.ContainsFunc(undetected, func(prefix string) bool { return strings.HasPrefix(d.Name, prefix) })
}

// selects tells whether a name of the settings, or a pattern, is a device's.
func selects(name, device string) bool {
	if prefix, ok := strings.CutSuffix(name, "+"); ok {
		return strings.HasPrefix(device, prefix)
	}
	return name == device
}

// judgeDevices says which programs at devices are not judged, and why.
func (c *compiler) judgeDevices(o *owner) {
	d := c.settings.Devices
	if d == nil || c.settings.Mode == state.Own {
		return
	}
	known := len(c.node.Devices) > 0
	pattern := slices.ContainsFunc(d.Names, func(name string) bool { return strings.HasSuffix(name, "+") })
	switch {
	case !known && (pattern || len(d.Names) == 0 && d.Egress):
		c.notice(state.Info, "snapshot/devices-unknown", o, "devices", "ask on the node itself, or list the devices' names in the values",
			"which devices face the network is not known: the programs at them are not judged")
	case known && len(d.Names) == 0 && d.Egress && len(nativeDevices(d, c.node)) == 0:
		c.notice(state.Warning, "snapshot/no-native-device", o, "devices", "run in the node's network namespace, give the node's addresses, or list the devices' names in the values",
			"the agent's detection takes none of the devices with an address of the node: the programs at native devices are not judged")
	case known:
		c.judgeNames(d, o)
	}
	if d.Acceleration == "best-effort" {
		c.notice(state.Info, "snapshot/xdp-best-effort", o, "devices", "",
			"with loadBalancer.acceleration best-effort it is up to each driver whether XDP is used: cil_xdp_entry is not judged")
	}
}

// judgeNames says which names select nothing: the agent goes on without them.
func (c *compiler) judgeNames(d *state.DeviceSettings, o *owner) {
	for _, name := range d.Names {
		there := func(device state.Device) bool {
			return device.Up && len(device.Addresses) > 0 && selects(name, device.Name)
		}
		if !slices.ContainsFunc(c.node.Devices, there) {
			c.notice(state.Info, "snapshot/no-such-device", o, "devices", "", "the node has no device %s that is up and has an address, though the values name it: nothing is judged at it", name)
		}
	}
}
