// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"strings"
)

// Contents is what kind of file a File is.
type Contents uint8

// The kinds of files.
const (
	// OfVariables is a file of NAME=VALUE lines.
	OfVariables Contents = iota
	// OfValues is a file of Helm values.
	OfValues
	// OfRelease holds a HelmRelease among its objects, OfObjects others alone.
	OfRelease
	OfObjects
)

var contentNames = [...]string{"variables", "values", "a HelmRelease", "objects"}

// String says it in words.
func (c Contents) String() string {
	if int(c) < len(contentNames) {
		return contentNames[c]
	}
	return fmt.Sprintf("contents(%d)", uint8(c))
}

// Contents tells what a file holds: by its name whether it is YAML, and by its
// objects which. What can't be read holds values, whose reader tells of it.
func (f File) Contents() Contents {
	if !f.isYAML() {
		return OfVariables
	}
	objects, _ := readObjects(f)
	out := OfValues
	for _, o := range objects {
		switch {
		case o.kind() == "HelmRelease" && strings.HasPrefix(o.text("apiVersion"), "helm.toolkit.fluxcd.io/"):
			return OfRelease
		case o.kind() != "" && o.text("apiVersion") != "":
			out = OfObjects
		}
	}
	return out
}
