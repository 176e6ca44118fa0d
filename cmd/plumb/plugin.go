// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// pluginName is the file name by which `flux plumb` finds the program.
const pluginName = "flux-plumb"

// exampleName is plumb as examples call it.
var exampleName = regexp.MustCompile(`(?m)(^  |[(|] ?)plumb `)

// nameAsPlugin lets help speak of `flux plumb` where the program was started as
// flux's plugin; the completion script is for the file's own name.
func nameAsPlugin(root *cobra.Command, program string) {
	if strings.TrimSuffix(filepath.Base(program), ".exe") != pluginName {
		return
	}
	root.Use = pluginName
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "flux plumb"}
	for _, command := range root.Commands() {
		command.Example = exampleName.ReplaceAllString(command.Example, "${1}flux plumb ")
	}
}
