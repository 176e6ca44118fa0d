// SPDX-License-Identifier: Apache-2.0

package rules

import "plumbline.dev/plumbline/compiler/diag"

// JudgeAll is Judge without guards.
func (s *Set) JudgeAll(in Input) diag.List {
	facts := Facts(in.Cluster)
	if in.Release == nil {
		in.Release = releaseOf(facts)
	}
	return s.judge(in, facts, false)
}
