// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"encoding/binary"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

// keptSlice is an EndpointSlice as a Compiler keeps it. Endpoints are by far the
// most of what a cluster has, and each is looked at again only when its service is
// recompiled: once it has been compiled, a slice is a few bytes an endpoint.
type keptSlice struct {
	namespace, name, service string
	pos                      *state.Position      // nil: the zero one
	whole                    *state.EndpointSlice // nil: packed
	packed                   []byte
}

func keep(s *state.EndpointSlice) *keptSlice {
	k := &keptSlice{namespace: s.Namespace, name: s.Name, service: s.Service, whole: s}
	if s.Pos != (state.Position{}) {
		k.pos = &s.Pos
	}
	return k
}

// texts number the few texts that many endpoints have in common: names of nodes
// and zones. They are forgotten with forget.
type texts struct {
	list   []string
	number map[string]uint64
	kept   int // how many there were after the last forget
}

func newTexts() *texts { return &texts{number: map[string]uint64{}} }

func (t *texts) of(text string) uint64 {
	n, known := t.number[text]
	if !known {
		n = uint64(len(t.list))
		t.list, t.number[text] = append(t.list, text), n
	}
	return n
}

// grown tells whether so many texts were added since the last forget that most of
// them may be gone from the cluster.
func (t *texts) grown() bool { return len(t.list) > 2*t.kept+1024 }

// Conditions are packed as 0 for nil, 1 for false and 2 for true, in two bits each.
const (
	readyBit, servingBit, terminatingBit = 0, 2, 4
	hintedBit                            = 1 << 6
	conditionMask                        = 3
)

// What a packed slice begins with.
const (
	ipv6Bit   = 1
	weightBit = 2
)

func packCondition(c *bool) byte {
	switch {
	case c == nil:
		return 0
	case *c:
		return 2
	}
	return 1
}

// conditions are the values that unpacked endpoints point to; nobody changes one.
var conditions = [...]*bool{nil, new(false), new(true), nil}

// pack packs a slice that is whole.
func (k *keptSlice) pack(t *texts) {
	if k.whole == nil {
		return
	}
	s := k.whole
	b := make([]byte, 0, 16+16*len(s.Endpoints))
	b = append(b, 0)
	if s.IPv6 {
		b[0] |= ipv6Bit
	}
	if s.Weight != nil {
		b[0] |= weightBit
		b = binary.AppendUvarint(b, t.of(*s.Weight))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Ports)))
	for _, p := range s.Ports {
		b = binary.AppendUvarint(b, t.of(p.Name))
		b = append(b, byte(p.Protocol), byte(p.Port>>8), byte(p.Port))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Endpoints)))
	for i := range s.Endpoints {
		b = packEndpoint(b, &s.Endpoints[i], t)
	}
	if k.pos != nil {
		pos := *k.pos // the slice has it too, and goes
		k.pos = &pos
	}
	k.packed, k.whole = exact(b), nil
}

func packEndpoint(b []byte, e *state.EndpointSpec, t *texts) []byte {
	flags := packCondition(e.Ready)<<readyBit | packCondition(e.Serving)<<servingBit | packCondition(e.Terminating)<<terminatingBit
	hinted := len(e.HintZones) > 0
	if hinted {
		flags |= hintedBit
	}
	b = binary.AppendUvarint(append(b, flags), uint64(len(e.Addresses)))
	for _, a := range e.Addresses {
		at := len(b)
		b, _ = a.AppendBinary(append(b, 0)) // never fails
		b[at] = byte(len(b) - at - 1)
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, t.of(e.NodeName)), t.of(e.Zone))
	if hinted {
		b = packTexts(b, e.HintZones, t)
	}
	return b
}

func packTexts(b []byte, list []string, t *texts) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, text := range list {
		b = binary.AppendUvarint(b, t.of(text))
	}
	return b
}

// open gives the slice whole.
func (k *keptSlice) open(t *texts) *state.EndpointSlice {
	if k.whole != nil {
		return k.whole
	}
	r := unpacker{k.packed, t}
	flags := r.byte()
	s := &state.EndpointSlice{Namespace: k.namespace, Name: k.name, Service: k.service, IPv6: flags&ipv6Bit != 0}
	if flags&weightBit != 0 {
		s.Weight = new(r.text())
	}
	if k.pos != nil {
		s.Pos = *k.pos
	}
	s.Ports = make([]state.EndpointPort, r.number())
	for i := range s.Ports {
		s.Ports[i] = state.EndpointPort{Name: r.text(), Protocol: state.Protocol(r.byte()), Port: uint16(r.byte())<<8 | uint16(r.byte())}
	}
	s.Endpoints = make([]state.EndpointSpec, r.number())
	addresses := make([]netip.Addr, 0, len(s.Endpoints)) // one each, as a rule
	for i := range s.Endpoints {
		addresses = r.endpoint(&s.Endpoints[i], addresses)
	}
	return s
}

// unpacker reads what pack has written.
type unpacker struct {
	rest  []byte
	texts *texts
}

func (r *unpacker) byte() byte {
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *unpacker) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.rest = r.rest[size:]
	return n
}

func (r *unpacker) text() string { return r.texts.list[r.number()] }

func (r *unpacker) list() []string {
	var list []string
	for range r.number() {
		list = append(list, r.text())
	}
	return list
}

// endpoint reads an endpoint, whose addresses become the next of a list.
func (r *unpacker) endpoint(e *state.EndpointSpec, addresses []netip.Addr) []netip.Addr {
	flags := r.byte()
	e.Ready, e.Serving, e.Terminating = conditions[flags>>readyBit&conditionMask], conditions[flags>>servingBit&conditionMask], conditions[flags>>terminatingBit&conditionMask]
	from := len(addresses)
	for range r.number() {
		size := r.byte()
		var a netip.Addr
		_ = a.UnmarshalBinary(r.rest[:size]) // pack wrote it
		addresses, r.rest = append(addresses, a), r.rest[size:]
	}
	e.Addresses = addresses[from:len(addresses):len(addresses)]
	e.NodeName, e.Zone = r.text(), r.text()
	if flags&hintedBit != 0 {
		e.HintZones = r.list()
	}
	return addresses
}

// pack packs what changed, and everything anew where most texts may be gone.
func (c *Compiler) pack(changed map[*unit]bool) {
	for u := range changed {
		for _, k := range u.slices {
			k.pack(c.texts)
		}
	}
	if !c.texts.grown() {
		return
	}
	fresh := newTexts()
	for _, k := range c.slices {
		k.whole = k.open(c.texts)
		k.pack(fresh)
	}
	fresh.kept = len(fresh.list)
	c.texts, c.run.texts = fresh, fresh
}
