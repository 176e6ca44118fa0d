// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"plumbline.dev/plumbline/compiler/companion"
)

// Command is the name of the process that renders. Helm alone costs a process
// 8 ms and 20 MB at its start, whatever it does then; plumb runs on every save
// and renders on request.
const Command = "plumb-render"

// Protocol is the version of what is exchanged with the process. It changes with
// every change of Request or Result.
const Protocol = 1

// Ask is what the process reads, as one JSON object.
type Ask struct {
	Protocol int       `json:"protocol"`
	Requests []Request `json:"requests"`
}

// Answer is what the process writes: a Result for each Request, in order, or an
// Error of its own.
type Answer struct {
	Protocol int      `json:"protocol"`
	Results  []Result `json:"results,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// Renderer runs the process.
type Renderer struct {
	// Command is its path.
	Command string
	// Progress takes what it says of downloads; nil discards that.
	Progress io.Writer
}

// Find finds the process: beside this executable, or else in PATH.
func Find() (Renderer, error) {
	path, err := companion.Find(Command, "rendering")
	return Renderer{Command: path}, err
}

// Process is a started process, which waits for what is asked.
type Process struct {
	ctx       context.Context
	cmd       *exec.Cmd
	in        io.WriteCloser
	out, said bytes.Buffer
}

// Start starts the process before it is known what to ask: it readies itself
// meanwhile. Whoever starts it has to call Render or Stop.
func (r Renderer) Start(ctx context.Context) (*Process, error) {
	p := &Process{ctx: ctx, cmd: exec.CommandContext(ctx, r.Command)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.said
	if r.Progress != nil {
		p.cmd.Stderr = io.MultiWriter(r.Progress, &p.said)
	}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Command, err)
	}
	return p, nil
}

// Stop ends the process unasked.
func (p *Process) Stop() {
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait() // it was killed: how it ended says nothing
}

// Render asks for charts to be rendered, and ends the process. It gives a Result
// for each Request, in order.
func (p *Process) Render(requests []Request) ([]Result, error) {
	asked := json.NewEncoder(p.in).Encode(Ask{Protocol: Protocol, Requests: requests})
	asked = errors.Join(asked, p.in.Close())
	if err := p.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("run %s: %w%s", p.cmd.Path, errors.Join(err, p.ctx.Err()), lastLine(p.said.Bytes()))
	}
	results, err := readAnswer(p.out.Bytes(), len(requests))
	if err != nil && asked != nil {
		err = fmt.Errorf("ask %s: %w", Command, asked)
	}
	return results, err
}

func readAnswer(data []byte, want int) ([]Result, error) {
	var answer Answer
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", Command, err)
	}
	switch {
	case answer.Error != "":
		return nil, fmt.Errorf("%s: %s", Command, answer.Error)
	case answer.Protocol != Protocol:
		return nil, fmt.Errorf("%s speaks protocol %d, plumb %d: install both from one release", Command, answer.Protocol, Protocol)
	case len(answer.Results) != want:
		return nil, fmt.Errorf("%s gave %d results for %d requests: install both from one release", Command, len(answer.Results), want)
	}
	return answer.Results, nil
}

// lastLine is the end of what a process said, for an error.
func lastLine(said []byte) string {
	lines := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		return ": " + string(last)
	}
	return ""
}
