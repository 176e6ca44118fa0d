// SPDX-License-Identifier: Apache-2.0

package rules

import "plumbline.dev/plumbline/compiler/diag"

// JudgeAll is Judge without the choice of what is relevant.
func (s *Set) JudgeAll(in Input) diag.List {
	facts := Facts(in.Cluster)
	if in.Release == nil {
		in.Release = releaseOf(facts)
	}
	return s.judge(in, facts, nil)
}

// Standing and CommonPlatforms are what the choice relies on.
var Standing, CommonPlatforms = standing, commonPlatforms
