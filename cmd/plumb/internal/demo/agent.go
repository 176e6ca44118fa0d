// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"plumbline.dev/plumbline/runtime/reconcile"
)

// agent is a real plumb-agent in mode own, on the world's bpffs and cgroup. It
// audits when it is told to, and again after the grace: so the demonstration
// decides when damage is looked for, and need not guess.
type agent struct {
	command *exec.Cmd
	reports chan reconcile.Report
	log     string
	ended   bool
}

const grace = 500 * time.Millisecond

// startAgent starts plumb-agent with the compiled settings.
func (w *world) startAgent(ctx context.Context, o Options, settings []byte) (*agent, error) {
	file := filepath.Join(w.dir, "datapath.json")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		return nil, err
	}
	args := []string{"run", "--datapath", file, "--node", o.Node, "--mode", "own",
		"--bpffs", w.bpffs, "--cgroup-root", w.cgroup, "--interval", "1h", "--grace", grace.String(), "-o", "json"}
	for _, snapshot := range o.Snapshots {
		args = append(args, "--snapshot", snapshot)
	}
	a := &agent{command: exec.CommandContext(ctx, o.Agent, args...), reports: make(chan reconcile.Report, 16), log: filepath.Join(w.dir, "agent.log")}
	log, err := os.Create(a.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	a.command.Stderr = log
	a.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := a.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.command.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w: `make build` puts it beside plumb", err)
	}
	w.undo = append(w.undo, a.stop)
	go func() {
		defer close(a.reports)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var r reconcile.Report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				a.reports <- r
			}
		}
	}()
	return a, nil
}

// next waits for the agent's next report.
func (a *agent) next(ctx context.Context) (reconcile.Report, error) {
	select {
	case r, ok := <-a.reports:
		if !ok {
			return r, fmt.Errorf("the agent ended: %s", a.lastWords())
		}
		return r, nil
	case <-ctx.Done():
		return reconcile.Report{}, ctx.Err()
	case <-time.After(20 * time.Second):
		return reconcile.Report{}, errors.New("no report of the agent for 20 seconds")
	}
}

// audit has the agent look, and look again: it gives the report of the round
// that confirmed what the first one saw.
func (a *agent) audit(ctx context.Context) (reconcile.Report, error) {
	if err := a.command.Process.Signal(syscall.SIGUSR1); err != nil {
		return reconcile.Report{}, fmt.Errorf("ask the agent for an audit: %w", err)
	}
	for {
		r, err := a.next(ctx)
		if err != nil || r.Counts.Unconfirmed == 0 {
			return r, err
		}
	}
}

func (a *agent) lastWords() string {
	log, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return lines[len(lines)-1]
}

// stop ends the agent as a rollout would; pins and links stay until the bpffs goes.
func (a *agent) stop() error {
	if a.ended {
		return nil
	}
	a.ended = true
	if err := a.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(10*time.Second, func() { a.command.Process.Kill() })
	defer timer.Stop()
	for range a.reports { // until it closes its stdout
	}
	return a.command.Wait()
}
