// SPDX-License-Identifier: Apache-2.0

// Package companion finds the programs that stand beside plumb: what few commands
// need is linked by them, and costs the others nothing. It starts none.
package companion

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Find gives the path of a program: beside this executable, or else in PATH. doing
// says in an error what it is needed for.
func Find(name, doing string) (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s needs %s beside plumb or in PATH: install it with go install plumbline.dev/plumbline/cmd/%s@latest, or copy it from the release: %w", doing, name, name, err)
	}
	return path, nil
}
