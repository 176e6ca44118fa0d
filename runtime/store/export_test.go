// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/cilium/ebpf"

// OpenInner has f open inner maps until the function that it gives is called.
func OpenInner(f func(ebpf.MapID) (*ebpf.Map, error)) (restore func()) {
	before := openInner
	openInner = f
	return func() { openInner = before }
}

// AfterMap has f called with each map's name, once Read has read it.
func (k *Kernel) AfterMap(f func(name string)) { k.afterMap = f }
