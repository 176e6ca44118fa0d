// SPDX-License-Identifier: Apache-2.0

package layout

import "fmt"

// Describe says an entry of a content map in words, on one line. Bytes that do
// not decode are printed as they are: a damaged map must be describable.
func Describe(id MapID, key, value []byte) string {
	return fmt.Sprintf("%s %s: %s", id, describeKey(id, key), DescribeValue(id, key, value))
}

func describeKey(id MapID, key []byte) string {
	if malformed(id, key) != "" {
		return fmt.Sprintf("key %x", key)
	}
	switch id {
	case Services4, Services6:
		if k, err := DecodeServiceKey(key); err == nil {
			return fmt.Sprintf("%s slot %d", k.FrontendName, k.Slot)
		}
	case Backends4, Backends6:
		if n, err := DecodeBackendID(key); err == nil {
			return fmt.Sprintf("backend %d", n)
		}
	case ReverseNAT4, ReverseNAT6, Maglev4, Maglev6:
		if n, err := DecodeReverseNATID(key); err == nil {
			return fmt.Sprintf("reverse NAT %d", n)
		}
	case AffinityMatch:
		if k, err := DecodeAffinityKey(key); err == nil {
			return fmt.Sprintf("backend %d of reverse NAT %d", k.Backend, k.ReverseNAT)
		}
	case SourceRange4, SourceRange6:
		if k, err := DecodeRangeKey(key); err == nil {
			return fmt.Sprintf("%s of reverse NAT %d", k.CIDR, k.ReverseNAT)
		}
	}
	return fmt.Sprintf("%x", key)
}

// DescribeValue says a value in words. The key tells a master from a slot.
func DescribeValue(id MapID, key, value []byte) string {
	switch id {
	case Services4, Services6:
		return describeService(key, value)
	case Backends4, Backends6:
		if b, err := DecodeBackend(value); err == nil {
			return fmt.Sprintf("%s %s zone %d", b.Endpoint, b.State, b.Zone)
		}
	case ReverseNAT4, ReverseNAT6:
		if ap, err := DecodeReverseNAT(value); err == nil {
			return ap.String()
		}
	case AffinityMatch, SourceRange4, SourceRange6:
		return "present"
	case Maglev4, Maglev6:
		return fmt.Sprintf("table of %d", len(value)/4)
	}
	return fmt.Sprintf("%x", value)
}

func describeService(key, value []byte) string {
	k, kerr := DecodeServiceKey(key)
	s, verr := DecodeService(value)
	if kerr != nil || verr != nil {
		return fmt.Sprintf("%x", value)
	}
	if k.Slot > 0 {
		return fmt.Sprintf("backend %d reverse NAT %d flags %02x%02x", s.Word, s.ReverseNAT, s.Flags, s.Flags2)
	}
	return fmt.Sprintf("count %d+%d reverse NAT %d flags %02x%02x word %08x", s.Count, s.QCount, s.ReverseNAT, s.Flags, s.Flags2, s.Word)
}
