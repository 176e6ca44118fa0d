// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attributeType are the bits of an attribute's type (linux/netlink.h, NLA_TYPE_MASK).
const attributeType = 0x3fff

// xdp gives a device's XDP programs, of the driver (or of the hardware) and of
// the stack. Both can be there at once, and then the kernel gives each one's id in
// an attribute of its own (linux/if_link.h, IFLA_XDP_*).
func xdp(index int) (native, generic []uint32, err error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, nil, err
	}
	for _, answer := range answers {
		if len(answer) < unix.SizeofIfInfomsg {
			return nil, nil, fmt.Errorf("the kernel's answer has %d bytes", len(answer))
		}
		attributes, err := nl.ParseRouteAttr(answer[unix.SizeofIfInfomsg:])
		if err != nil {
			return nil, nil, err
		}
		for _, a := range attributes {
			if a.Attr.Type&attributeType != unix.IFLA_XDP {
				continue
			}
			if native, generic, err = xdpIDs(a.Value); err != nil {
				return nil, nil, err
			}
		}
	}
	return native, generic, nil
}

func xdpIDs(nested []byte) (native, generic []uint32, err error) {
	attributes, err := nl.ParseRouteAttr(nested)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range attributes {
		if len(a.Value) < 4 {
			continue // the mode, in one byte
		}
		id := binary.NativeEndian.Uint32(a.Value)
		switch a.Attr.Type & attributeType {
		case unix.IFLA_XDP_DRV_PROG_ID, unix.IFLA_XDP_HW_PROG_ID:
			native = append(native, id)
		case unix.IFLA_XDP_SKB_PROG_ID:
			generic = append(generic, id)
		}
	}
	return native, generic, nil
}
