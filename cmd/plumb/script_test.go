// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/archive"
	"plumbline.dev/plumbline/compiler/chart/charttest"
	"plumbline.dev/plumbline/compiler/chart/render"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plumb": main, pluginName: main, chart.Command: renderer, "plumb-on-node": onNode})
}

// renderer is plumb-render, as its own command has it.
func renderer() {
	finder := &archive.Finder{Cache: archive.CacheDir(os.Getenv), Client: archive.NewClient(), Progress: os.Stderr}
	if err := render.Serve(context.Background(), finder, os.Stdin, os.Stdout); err != nil {
		os.Exit(exitFailed)
	}
}

// ciliumChart is the folder of Cilium's own chart, 1.17.2.
var ciliumChart = sync.OnceValues(func() (string, error) { return charttest.Find("1.17.2") })

// TestScript runs the command lines of testdata/script. PLUMB_UPDATE=1 rewrites
// what their `cmp` lines compare with.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("PLUMB_UPDATE") != "",
		Condition: func(name string) (bool, error) {
			if name != "cilium-chart" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, err := ciliumChart()
			if err != nil && charttest.Required() {
				return false, err
			}
			return err == nil, nil
		},
		Setup: func(s *testscript.Env) error {
			s.Setenv("HOME", s.WorkDir) // nothing of this machine's owner
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			s.Defer(server.Close)
			s.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			dir, err := ciliumChart()
			if err == nil {
				s.Setenv("CILIUM_CHART", dir)
			}
			return nil
		},
	})
}
