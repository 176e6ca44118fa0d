// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// root is the project's.
const root = "../.."

// process is a program that a test runs, with what it says.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // a file
	done chan struct{} // closed once it has ended
}

// tool is the path of one of the tools.
func tool(name string) string { return filepath.Join(os.Getenv(envTools), name) }

// binary is the path of one of Plumbline's own programs.
func binary(name string) string { return filepath.Join(os.Getenv(envBinaries), name) }

// start starts a program. It is killed with the test at the latest; where that has
// failed, the end of what the program said is shown.
func start(t testing.TB, env []string, path string, args ...string) *process {
	t.Helper()
	return startWith(t, nil, env, filepath.Base(path), path, args...)
}

func startWith(t testing.TB, attr *syscall.SysProcAttr, env []string, name, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, done: make(chan struct{})}
	out, err := os.CreateTemp(t.TempDir(), p.name+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.log = out.Name()
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = out, out, attr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said at last:\n%s", p.name, p.tail(4000))
		}
	})
	return p
}

// kill ends it at once, as a crash does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

func (p *process) said(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// await waits for the process to have said something.
func (p *process) await(t testing.TB, what string, ok func(said string) bool) {
	t.Helper()
	poll(t, p, what, func(context.Context) error {
		if !ok(p.said(t)) {
			return errors.New("not said yet")
		}
		return nil
	})
}

func (p *process) tail(n int) []byte {
	data, _ := os.ReadFile(p.log)
	if len(data) <= n {
		return data
	}
	data = data[len(data)-n:]
	_, data, _ = bytes.Cut(data, []byte("\n"))
	return data
}
