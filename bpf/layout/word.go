// SPDX-License-Identifier: Apache-2.0

package layout

// Word gives the first eight bytes of a key or a value as a number, padded with
// zeroes where there are fewer, and the bytes behind them.
func Word(part []byte) (uint64, []byte) {
	if len(part) >= 8 {
		return le.Uint64(part), part[8:]
	}
	var w uint64
	for i, c := range part {
		w |= uint64(c) << (8 * i)
	}
	return w, nil
}

// Words is how many words a key or a value of so many bytes has.
func Words(size int) int { return (size + 7) / 8 }
