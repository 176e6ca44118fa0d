// SPDX-License-Identifier: Apache-2.0

package store

// AfterMap has f called with each map's name, once Read has read it.
func (k *Kernel) AfterMap(f func(name string)) { k.afterMap = f }
