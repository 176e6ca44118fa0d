// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/archive"
)

// Serve reads one chart.Ask, does what it asks, and writes the chart.Answer. It
// is what the process plumb-render is.
func Serve(ctx context.Context, finder *archive.Finder, in io.Reader, out io.Writer) error {
	answer := chart.Answer{Protocol: chart.Protocol}
	var ask chart.Ask
	switch err := json.NewDecoder(in).Decode(&ask); {
	case err != nil:
		answer.Error = "read the request: " + err.Error()
	case ask.Protocol != chart.Protocol:
		answer.Error = fmt.Sprintf("plumb speaks protocol %d, %s %d: install both from one release", ask.Protocol, chart.Command, chart.Protocol)
	default:
		answer.Results = (&Service{Finder: finder}).Run(ctx, ask.Requests)
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// Service finds and renders charts. A chart that several requests mean it finds
// and reads once.
type Service struct {
	Finder *archive.Finder

	mu     sync.Mutex
	charts map[string]*found
}

// found is a chart that is looked for once.
type found struct {
	once    sync.Once
	archive *archive.Archive
	chart   *Chart
	err     error
}

// Run gives a Result for each Request, in order.
func (s *Service) Run(ctx context.Context, requests []chart.Request) []chart.Result {
	results := make([]chart.Result, len(requests))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = s.run(ctx, r)
		})
	}
	all.Wait()
	return results
}

func (s *Service) run(ctx context.Context, r chart.Request) chart.Result {
	at, err := s.find(ctx, r.Reference)
	if err != nil {
		return failed(chart.Found{}, err)
	}
	where := chart.Found{Name: at.chart.Name(), Version: at.chart.Version(), From: at.archive.From, Digest: at.archive.Digest}
	if p := otherVersion(where, r); p != nil {
		return failed(where, p)
	}
	objects, problems, err := at.chart.Render(r)
	if err != nil {
		return failed(where, err)
	}
	if r.JudgeOnly {
		objects = nil
	}
	return chart.Result{Chart: where, Objects: objects, Problems: problems}
}

// failed parts what speaks against the environment from what does not.
func failed(where chart.Found, err error) chart.Result {
	var p *chart.Problem
	if errors.As(err, &p) {
		return chart.Result{Chart: where, Problems: []chart.Problem{*p}}
	}
	return chart.Result{Chart: where, Error: err.Error()}
}

// otherVersion tells of a chart that is not of the version that the environment
// states: its values were judged by another chart's table.
func otherVersion(have chart.Found, r chart.Request) *chart.Problem {
	if have.Name != r.Name || have.Version == r.Version {
		return nil
	}
	return &chart.Problem{
		Code: chart.CodeVersion, About: chart.AboutVersion,
		Message: fmt.Sprintf("%s holds %s %s, and chart.version is %s", have.From, have.Name, have.Version, r.Version),
		Hint:    fmt.Sprintf("set chart: version: %q, or take the chart that is meant", have.Version),
	}
}

// find finds and reads the chart of a reference, once for all who ask.
func (s *Service) find(ctx context.Context, r chart.Reference) (*found, error) {
	key, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", r.Source, err)
	}
	s.mu.Lock()
	if s.charts == nil {
		s.charts = map[string]*found{}
	}
	at, ok := s.charts[string(key)]
	if !ok {
		at = &found{}
		s.charts[string(key)] = at
	}
	s.mu.Unlock()
	at.once.Do(func() {
		if at.archive, at.err = s.Finder.Find(ctx, r); at.err == nil {
			at.chart, at.err = Read(at.archive.Files)
		}
	})
	return at, at.err
}
