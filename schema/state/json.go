// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// The JSON of a State is an interface: names and order of its fields are those
// of `plumb state -o json` and `plumb dump -o json`. Lists are never null, and
// reading is strict: an unknown field, a missing list or an entry without an
// address is an error, not a zero value.

type frontendJSON struct {
	Address                *netip.Addr  `json:"address"`
	Port                   uint16       `json:"port"`
	Protocol               *Protocol    `json:"protocol"`
	Scope                  Scope        `json:"scope"`
	Type                   FrontendType `json:"type"`
	Flags                  []string     `json:"flags"`
	Algorithm              Algorithm    `json:"algorithm"`
	AffinityTimeoutSeconds uint32       `json:"affinityTimeoutSeconds"`
	L7ProxyPort            uint16       `json:"l7ProxyPort,omitempty"`
	Service                string       `json:"service"`
	PortName               string       `json:"portName"`
	Backends               []Endpoint   `json:"backends"`
	Inactive               []Endpoint   `json:"inactive"`
	IDs                    *FrontendIDs `json:"ids,omitempty"`
}

// MarshalJSON writes the frontend as an object, its backends as names.
func (f Frontend) MarshalJSON() ([]byte, error) {
	return json.Marshal(frontendJSON{
		Address: &f.Address, Port: f.Port, Protocol: &f.Protocol, Scope: f.Scope,
		Type: f.Type, Flags: f.Flags.Names(), Algorithm: f.Algorithm,
		AffinityTimeoutSeconds: f.AffinityTimeoutSeconds, L7ProxyPort: f.L7ProxyPort,
		Service: f.Service, PortName: f.PortName,
		Backends: orEmpty(f.Backends), Inactive: orEmpty(f.Inactive), IDs: f.IDs,
	})
}

// UnmarshalJSON is the strict inverse of MarshalJSON; an empty list is nil.
func (f *Frontend) UnmarshalJSON(data []byte) error {
	var j frontendJSON
	if err := strict(data, &j); err != nil {
		return fmt.Errorf("frontend: %w", err)
	}
	flags, err := ParseFlags(j.Flags)
	err = errors.Join(err, checkKey(j.Address, j.Protocol), present("flags", j.Flags), present("backends", j.Backends), present("inactive", j.Inactive))
	if err != nil {
		return fmt.Errorf("frontend %s: %w", data, err)
	}
	*f = Frontend{
		FrontendName: FrontendName{Endpoint{*j.Address, j.Port, *j.Protocol}, j.Scope},
		Type:         j.Type, Flags: flags, Algorithm: j.Algorithm,
		AffinityTimeoutSeconds: j.AffinityTimeoutSeconds, L7ProxyPort: j.L7ProxyPort,
		Service: j.Service, PortName: j.PortName,
		Backends: orNil(j.Backends), Inactive: orNil(j.Inactive), IDs: j.IDs,
	}
	if f.IDs != nil && f.IDs.Backends == nil {
		f.IDs.Backends = map[string]uint32{}
	}
	return nil
}

type backendJSON struct {
	Address  *netip.Addr  `json:"address"`
	Port     uint16       `json:"port"`
	Protocol *Protocol    `json:"protocol"`
	State    BackendState `json:"state"`
	Zone     uint8        `json:"zone"`
}

// MarshalJSON writes the backend as an object.
func (b Backend) MarshalJSON() ([]byte, error) {
	return json.Marshal(backendJSON{&b.Address, b.Port, &b.Protocol, b.State, b.Zone})
}

// UnmarshalJSON is the strict inverse of MarshalJSON.
func (b *Backend) UnmarshalJSON(data []byte) error {
	var j backendJSON
	if err := strict(data, &j); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	if err := checkKey(j.Address, j.Protocol); err != nil {
		return fmt.Errorf("backend %s: %w", data, err)
	}
	*b = Backend{Endpoint{*j.Address, j.Port, *j.Protocol}, j.State, j.Zone}
	return nil
}

// stateJSON has State's fields and none of its methods.
type stateJSON State

// MarshalJSON writes the lists in the order in which they stand; an empty one
// is [] and never null.
func (s State) MarshalJSON() ([]byte, error) {
	s.Frontends = orEmpty(s.Frontends)
	s.Backends = orEmpty(s.Backends)
	s.SourceRanges = orEmpty(s.SourceRanges)
	s.AffinityMatches = orEmpty(s.AffinityMatches)
	s.Maglev = orEmpty(s.Maglev)
	s.Attachments = orEmpty(s.Attachments)
	s.Maps = orEmpty(s.Maps)
	return json.Marshal(stateJSON(s))
}

// UnmarshalJSON is the strict inverse of MarshalJSON; an empty list is nil. The
// errors of all entries come at once.
func (s *State) UnmarshalJSON(data []byte) error {
	var j struct {
		Layout          *Layout           `json:"layout"`
		Frontends       []json.RawMessage `json:"frontends"`
		Backends        []json.RawMessage `json:"backends"`
		SourceRanges    []json.RawMessage `json:"sourceRanges"`
		AffinityMatches []json.RawMessage `json:"affinityMatches"`
		Maglev          []json.RawMessage `json:"maglev"`
		Attachments     []json.RawMessage `json:"attachments"`
		Maps            []json.RawMessage `json:"maps"`
	}
	if err := strict(data, &j); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	var errs []error
	if j.Layout == nil {
		errs = append(errs, errors.New("layout is missing: want a layout's name"))
	} else {
		s.Layout = *j.Layout
	}
	s.Frontends = decodeList[Frontend](&errs, "frontends", j.Frontends)
	s.Backends = decodeList[Backend](&errs, "backends", j.Backends)
	s.SourceRanges = decodeList[SourceRange](&errs, "sourceRanges", j.SourceRanges, "frontend", "cidr")
	s.AffinityMatches = decodeList[AffinityMatch](&errs, "affinityMatches", j.AffinityMatches, "frontend", "backend")
	s.Maglev = decodeList[MaglevTable](&errs, "maglev", j.Maglev, "frontend", "tableSize", "slots", "digest")
	s.Attachments = decodeList[Attachment](&errs, "attachments", j.Attachments, "program", "attach", "target")
	s.Maps = decodeList[Map](&errs, "maps", j.Maps, "name", "type", "keySize", "valueSize", "maxEntries", "flags")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// decodeList decodes every element, each with all of its fields, and collects
// what is wrong with any.
func decodeList[T any](errs *[]error, name string, raw []json.RawMessage, fields ...string) []T {
	if err := present(name, raw); err != nil {
		*errs = append(*errs, err)
	}
	if len(raw) == 0 {
		return nil
	}
	list := make([]T, len(raw))
	for i, r := range raw {
		if err := errors.Join(strict(r, &list[i]), complete(r, fields)); err != nil {
			*errs = append(*errs, fmt.Errorf("%s[%d]: %w", name, i, err))
		}
	}
	return list
}

// complete tells which of the fields an object lacks, or has as null.
func complete(object json.RawMessage, fields []string) error {
	if len(fields) == 0 {
		return nil
	}
	var have map[string]json.RawMessage
	if json.Unmarshal(object, &have) != nil {
		return nil // strict has said why
	}
	var errs []error
	for _, field := range fields {
		if v := have[field]; v == nil || string(v) == "null" {
			errs = append(errs, fmt.Errorf("%s is missing", field))
		}
	}
	return errors.Join(errs...)
}

// checkKey refuses an entry that lacks what identifies it.
func checkKey(addr *netip.Addr, proto *Protocol) error {
	switch {
	case addr == nil || !addr.IsValid():
		return errors.New("address is missing")
	case addr.Zone() != "":
		return fmt.Errorf("address %s: a map holds no zone", addr)
	case proto == nil:
		return errors.New("protocol is missing")
	}
	return nil
}

// strict decodes one value and refuses fields that it does not know.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// present tells a list that is there from one that is missing or null.
func present[T any](name string, list []T) error {
	if list == nil {
		return fmt.Errorf("%s is missing: want a list", name)
	}
	return nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
