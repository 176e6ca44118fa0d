// SPDX-License-Identifier: Apache-2.0

package diag

import "strings"

// Nearest finds the word that was probably meant: the one with the fewest typing
// mistakes in it, letters of the other case being none. It finds nothing where
// that would be a guess: more than one mistake, and one more for every three
// letters.
func Nearest(word string, among []string) (string, bool) {
	best, limit := "", 1+len(word)/3
	for _, candidate := range among {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < limit || d == limit && best == "" {
			best, limit = candidate, d
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, delete, replace or swap with the next
// one (restricted Damerau-Levenshtein).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
