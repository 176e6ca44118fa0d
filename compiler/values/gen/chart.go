// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

// Chart is what the generator reads of a Cilium chart.
type Chart struct {
	Minor   string
	Version string
	// Sum is the checksum of the Go module that the chart came in.
	Sum              string
	Schema           *schema
	Values           map[string]any
	ValuesText       []byte
	Templates, Files map[string][]byte
}

// pin names a release and the checksum of its Go module.
type pin struct{ version, sum string }

// pins are the releases that the tables are made from, oldest first. The first
// of a minor is its base; of a later one only the keys that the base lacks count.
var pins = []pin{
	{"1.17.2", "h1:hMahLKho06pzcAk8X+Co7jXhhwrj79rkTsy5FFehr8Q="},
	{"1.17.15", "h1:Sf+MRwLolUQu8M6huRHSCGMUXXHTvHp1Sj21pAEMnME="},
	{"1.18.6", "h1:acz5aRKhZbarCO1flx2vCP9wBh+lDc02uJgdqiTsJbA="},
	{"1.19.0", "h1:hfPhb9TcoG3fRMA1/ExBFihEX1NpEWcUaV1jXJTkQVo="},
	{"1.20.2", "h1:dqiEGIcXc+gqCLYG/l7VCFJ8GHyb4HUrwbZOpkX5dL8="},
}

const (
	ciliumModule = "github.com/cilium/cilium"
	chartFolder  = "install/kubernetes/cilium"
)

// fetch finds the chart in the Go module cache, and fills that from the module
// proxy where it has to. It runs outside of any module, so that no go.mod changes.
func fetch(p pin, proxy string) (*Chart, error) {
	away, err := os.MkdirTemp("", "charts")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(away)
	cmd := exec.Command("go", "mod", "download", "-json", ciliumModule+"@v"+p.version)
	cmd.Dir = away
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if proxy != "" {
		cmd.Env = append(cmd.Env, "GOPROXY="+proxy)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("download chart %s: %w: %s%s", p.version, err, out, stderr.Bytes())
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("download chart %s: %w", p.version, err)
	}
	if module.Sum != p.sum {
		return nil, fmt.Errorf("chart %s has the checksum %s, want %s", p.version, module.Sum, p.sum)
	}
	return readChart(filepath.Join(module.Dir, filepath.FromSlash(chartFolder)), p)
}

// readChart reads a chart from a folder.
func readChart(dir string, p pin) (*Chart, error) {
	c := &Chart{Version: p.version, Sum: p.sum, Minor: p.version[:strings.LastIndexByte(p.version, '.')]}
	root := os.DirFS(dir)
	var errs [4]error
	c.Templates, errs[0] = readTree(root, "templates")
	c.Files, errs[1] = readTree(root, "files")
	var text []byte
	text, errs[2] = fs.ReadFile(root, "values.schema.json")
	c.ValuesText, errs[3] = fs.ReadFile(root, "values.yaml")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("chart %s: %w", dir, err)
	}
	if err := json.Unmarshal(text, &c.Schema); err != nil {
		return nil, fmt.Errorf("chart %s: values.schema.json: %w", dir, err)
	}
	node, found := values.FromYAML("values.yaml", c.ValuesText)
	if len(found) > 0 {
		return nil, fmt.Errorf("chart %s: values.yaml: %s", dir, found[0].Message)
	}
	data, ok := node.Data().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("chart %s: values.yaml is no object", dir)
	}
	c.Values = data
	return c, nil
}

func readTree(root fs.FS, dir string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := fs.WalkDir(root, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		out[path.Clean(name)], err = fs.ReadFile(root, name)
		return err
	})
	return out, err
}
