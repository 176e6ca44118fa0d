// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plumb": main})
}

// TestScript runs the command lines of testdata/script. PLUMB_UPDATE=1 rewrites
// what their `cmp` lines compare with.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("PLUMB_UPDATE") != "",
		Setup: func(s *testscript.Env) error {
			s.Setenv("HOME", s.WorkDir) // nothing of this machine's owner
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			s.Defer(server.Close)
			s.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			return nil
		},
	})
}
