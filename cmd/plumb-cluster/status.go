// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/runtime/fleet"
)

// statusFlags are those of the command line.
type statusFlags struct{ *cluster.Status }

// watchEvery lies between two looks of --watch.
const watchEvery = 2 * time.Second

func (f *statusFlags) run(e *env, name string) error {
	v, err := viewer(e, &f.Flags)
	if err != nil {
		return err
	}
	namespace := f.Namespace
	if f.All {
		namespace = ""
	}
	views, err := v.Views(e.ctx, namespace, name)
	if err != nil {
		return err
	}
	if err := f.print(e, views, namespace, name); err != nil {
		return err
	}
	if f.Watch {
		return f.follow(e, v, views, namespace, name)
	}
	if !ready(views) {
		return errFindings
	}
	return nil
}

func ready(views []fleet.View) bool {
	return len(views) > 0 && !slices.ContainsFunc(views, func(v fleet.View) bool { return v.Ready().Status != metav1.ConditionTrue })
}

func (f *statusFlags) print(e *env, views []fleet.View, namespace, name string) error {
	if f.Output == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(fleet.Fleet{Ready: ready(views), Datapaths: append([]fleet.View{}, views...)})
	}
	if len(views) == 0 {
		fmt.Fprintln(e.stderr, "plumb: "+none(namespace, name))
		return nil
	}
	for i, v := range views {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		fmt.Fprintln(e.stdout, headline(&v))
		if err := f.table(e.stdout, e.now(), v.Rows, true); err != nil {
			return err
		}
	}
	return nil
}

func none(namespace, name string) string {
	what, where := "no Datapath", "in any namespace"
	if name != "" {
		what = "no Datapath " + name
	}
	if namespace != "" {
		where = "in namespace " + namespace + " (-n names another, -A shows all)"
	}
	return what + " " + where + ": it comes with the manifests of an environment that has an agent (plumb build ENV)"
}

func headline(v *fleet.View) string {
	c, n := v.Ready(), v.Status.Nodes
	return fmt.Sprintf("%s/%s: Ready %s (%s), %d of %d nodes in sync: %s", v.Namespace, v.Name, c.Status, c.Reason, n.InSync, n.Total, c.Message)
}

func (f *statusFlags) table(out io.Writer, now time.Time, rows []fleet.Row, head bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if head {
		titles := []string{"NODE", "STATE", "REASON", "DRIFTS", "REPORTED"}
		if f.Output == "wide" {
			titles = append(titles, "LAYOUT", "AGENT", "SAYS")
		}
		fmt.Fprintln(w, strings.Join(titles, "\t"))
	}
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(f.cells(&r, now), "\t"))
	}
	return w.Flush()
}

func (f *statusFlags) cells(r *fleet.Row, now time.Time) []string {
	age := "-"
	if r.Reported != nil {
		age = now.Sub(r.Reported.Time).Round(time.Second).String()
	}
	cells := []string{r.Node, r.State, dash(r.Reason), fmt.Sprint(r.Drifts), age}
	if f.Output == "wide" {
		says := r.Message
		if r.Worst != nil {
			says = strings.TrimSpace(r.Worst.Service+" "+r.Worst.Kind) + ": " + r.Worst.Message
		}
		cells = append(cells, dash(r.Layout), dash(r.Agent), dash(says))
	}
	return cells
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// follow prints what changes, until it is interrupted. It looks anew now and then: a
// report also changes its state by growing old.
func (f *statusFlags) follow(e *env, v *fleet.Viewer, before []fleet.View, namespace, name string) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case <-tick.C:
		}
		views, err := v.Views(e.ctx, namespace, name)
		if err != nil {
			if e.ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := f.changes(e, before, views); err != nil {
			return err
		}
		before = views
	}
}

// changes prints the headlines and rows that say something else than before.
func (f *statusFlags) changes(e *env, before, now []fleet.View) error {
	for i := range now {
		v := &now[i]
		old := fleet.View{}
		if n := slices.IndexFunc(before, func(b fleet.View) bool { return b.Namespace == v.Namespace && b.Name == v.Name }); n >= 0 {
			old = before[n]
		}
		if line := headline(v); line != headline(&old) {
			fmt.Fprintln(e.stdout, line)
		}
		var rows []fleet.Row
		for _, r := range v.Rows {
			n := slices.IndexFunc(old.Rows, func(b fleet.Row) bool { return b.Node == r.Node })
			if n < 0 || said(f, &old.Rows[n]) != said(f, &r) {
				rows = append(rows, r)
			}
		}
		if err := f.table(e.stdout, e.now(), rows, false); err != nil {
			return err
		}
	}
	return nil
}

// said is a row but for its age.
func said(f *statusFlags, r *fleet.Row) string {
	timeless := *r
	timeless.Reported = nil
	return strings.Join(f.cells(&timeless, time.Time{}), "\t")
}

// wait sleeps, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
