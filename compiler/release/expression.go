// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxcd/pkg/envsubst/parse"
)

// use is one ${…} of a text.
type use struct {
	name string
	// operator is what stands behind the name: ":=", "^^", or "".
	operator string
	// fallback says that the operator brings a text for a variable without one.
	fallback bool
	// inside are the variables in whose fallback this one stands.
	inside []string
}

// uses are the substitutions of a text, in order, those inside of others
// included.
func uses(text string) (list []use, err error) {
	defer recovered(&err)
	tree, err := parse.Parse(text)
	if err != nil {
		return nil, err
	}
	collectUses(tree.Root, nil, &list)
	return list, nil
}

func collectUses(n parse.Node, inside []string, list *[]use) {
	switch n := n.(type) {
	case *parse.ListNode:
		for _, each := range n.Nodes {
			collectUses(each, inside, list)
		}
	case *parse.FuncNode:
		fallback := fallbacks[n.Name] && len(n.Args) > 0
		*list = append(*list, use{n.Param, n.Name, fallback, inside})
		if fallback {
			inside = append(slices.Clip(inside), n.Param)
		}
		for _, each := range n.Args {
			collectUses(each, inside, list)
		}
	}
}

// fallbacks are the operators that put a text in the place of an empty one. In
// a shell :? ends the command and :+ is the opposite; Flux' library makes one
// of them all.
var fallbacks = map[string]bool{"=": true, ":=": true, ":-": true, ":?": true, ":+": true}

// eval puts variables into a text.
func eval(text string, v *variables) (out string, err error) {
	defer recovered(&err)
	return envsubst.Eval(text, v.lookup)
}

// recovered turns a panic of the library's into an error: it would be Flux'
// own, too.
func recovered(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("the library that Flux substitutes with can't do it: %v", cause)
	}
}

// braced finds what looks like a substitution, with the $ in front that escapes
// it; bare finds $VAR, which is none.
var (
	braced = regexp.MustCompile(`\$*\$\{[^}]*\}?`)
	bare   = regexp.MustCompile(`\$([_[:alpha:]][_[:alnum:]]*)`)
)

// leftBehind finds the first substitution in a text that nobody makes.
func leftBehind(text string) (string, bool) {
	found := braced.FindString(text)
	return found, found != ""
}
