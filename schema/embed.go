// SPDX-License-Identifier: Apache-2.0

// Package schema embeds the CUE that types an environment, so that a team needs
// nothing but plumb to use it. It evaluates nothing.
package schema

import "embed"

// Module is the CUE module that the schema is part of, Package the import path
// by which an environment names it.
const (
	Module  = "plumbline.dev/plumbline@v0"
	Package = "plumbline.dev/plumbline/schema"
)

// Files are the package's files, without a folder.
//
//go:embed *.cue
var Files embed.FS
