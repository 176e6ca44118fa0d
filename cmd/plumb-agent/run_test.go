// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/state"
)

func TestParseSettings(t *testing.T) {
	for _, test := range []struct{ name, text, fault string }{
		{"as build prints them", `{"environment":"dev","layout":"cilium/1.17","mode":"own","interval":"30s"}`, ""},
		{"as a resource", "apiVersion: plumbline.dev/v1alpha1\nkind: Datapath\nspec: {environment: dev, layout: cilium/1.17, mode: own, interval: 30s}", ""},
		{"an unknown field", `{"layout":"cilium/1.17","moode":"own"}`, `unknown field "moode"`},
		{"an unknown layout", `{"layout":"cilium/1.9"}`, "cilium/1.17, cilium/1.18"},
		{"an unknown mode", `{"layout":"cilium/1.17","mode":"delete"}`, "observe, repair, own"},
		{"no settings at all", `{}`, "plumb build ENV --only datapath"},
		{"no YAML", `{`, "yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			settings, err := parseSettings([]byte(test.text))
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("have %v, want an error with %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if settings.Environment != "dev" || settings.Layout != state.Cilium117 || settings.Mode != state.Own || settings.Interval.Duration != 30*time.Second {
				t.Errorf("settings %+v", settings)
			}
		})
	}
}

func TestFlagsWinOverSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "datapath.json")
	if err := os.WriteFile(file, []byte(`{"layout":"cilium/1.17","mode":"observe","interval":"30s","grace":"5s","bpfRoot":"/a","cgroupRoot":"/b"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := runFlags{datapath: file, mode: "own", bpffs: "/c", cgroupRoot: "/d", interval: time.Minute, grace: 0}
	s, err := f.settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode != state.Own || s.BPFRoot != "/c" || s.CgroupRoot != "/d" || s.Interval.Duration != time.Minute || s.Grace.Duration != 0 {
		t.Errorf("settings %+v", s)
	}
	s, err = (&runFlags{datapath: file, grace: -1}).settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode != state.Observe || s.BPFRoot != "/a" || s.Grace.Duration != 5*time.Second {
		t.Errorf("settings without flags %+v", s)
	}
}

// What is missing is said in one run, and the exit code is the tool's failure.
func TestRunNamesMissingFlags(t *testing.T) {
	var stdout, stderr bytes.Buffer
	e := &env{ctx: context.Background(), stdout: &stdout, stderr: &stderr}
	if code := run(e, []string{"run"}); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, flag := range []string{"datapath", "snapshot", "node"} {
		if !strings.Contains(stderr.String(), flag) {
			t.Errorf("%q does not name --%s", stderr.String(), flag)
		}
	}
	stderr.Reset()
	if code := run(e, []string{"run", "--datapath", "nowhere.json", "--snapshot", ".", "--node", "n"}); code != 2 || !strings.Contains(stderr.String(), "nowhere.json") {
		t.Errorf("exit code %d, %q; want 2 and the file's name", code, stderr.String())
	}
}

func TestOnceTellsDifferencesFromFailures(t *testing.T) {
	for status, differs := range map[reconcile.Status]bool{reconcile.Drifted: true, reconcile.OutOfSync: true} {
		if err := onceErr(reconcile.Report{Status: status}); errors.Is(err, errDiffers) != differs {
			t.Errorf("%s: %v", status, err)
		}
	}
	if err := onceErr(reconcile.Report{Status: reconcile.Unknown, Err: errors.New("no such map")}); err == nil || errors.Is(err, errDiffers) {
		t.Errorf("a read that failed: %v", err)
	}
	if err := onceErr(reconcile.Report{Status: reconcile.InSync}); err != nil {
		t.Errorf("in sync: %v", err)
	}
}

// Why programs are refused is logged once, and each report goes on.
func TestSayRefused(t *testing.T) {
	var out bytes.Buffer
	var err error
	reports := 0
	report := sayRefused(func() error { return err }, slog.New(slog.NewTextHandler(&out, nil)), func(reconcile.Report) { reports++ })
	report(reconcile.Report{})
	if out.Len() > 0 {
		t.Errorf("nothing is refused, but: %s", out.String())
	}
	err = errors.New("no CAP_BPF")
	report(reconcile.Report{})
	report(reconcile.Report{})
	if n := strings.Count(out.String(), "no CAP_BPF"); n != 1 || reports != 3 {
		t.Errorf("said %d times, want once; %d reports, want 3", n, reports)
	}
}

// The settings' file suspends an agent that runs, and resumes it. A file that is
// gone or broken changes nothing.
func TestSuspendIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "datapath.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"layout":"cilium/1.17","mode":"repair"}`)
	f := runFlags{datapath: file, grace: -1}
	settings, err := f.settings()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	suspended := f.suspended(settings, slog.New(slog.NewTextHandler(&log, nil)))
	for _, step := range []struct {
		text string
		want bool
	}{
		{`{"layout":"cilium/1.17","mode":"repair"}`, false},
		{`{"layout":"cilium/1.17","mode":"repair","suspend":true}`, true},
		{`{"layout":"cilium/1.17","suspend":"perhaps"}`, true},
		{`{`, true},
		{`{"kind":"Datapath","spec":{"layout":"cilium/1.17","mode":"repair"}}`, false},
	} {
		write(step.text)
		if have := suspended(); have != step.want {
			t.Errorf("%s: suspended %v, want %v", step.text, have, step.want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if suspended() {
			t.Error("a file that is gone suspends")
		}
	}
	if n := strings.Count(log.String(), "no such file"); n != 1 {
		t.Errorf("that the file is gone is said %d times, want once", n)
	}
	if !(&runFlags{suspend: true}).suspended(settings, slog.New(slog.DiscardHandler))() {
		t.Error("--suspend does not suspend")
	}
}
