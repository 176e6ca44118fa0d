// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/runtime/fleet"
)

// reconcileFlags are those of the command line.
type reconcileFlags struct{ *cluster.Reconcile }

// lookEvery lies between two looks at whether a request has been handled.
const lookEvery = 250 * time.Millisecond

func (f *reconcileFlags) run(e *env, name string) error {
	v, err := viewer(e, &f.Flags)
	if err != nil {
		return err
	}
	views, err := v.Views(e.ctx, f.Namespace, name)
	if err != nil {
		return err
	}
	if len(views) == 0 {
		return fmt.Errorf("%s", none(f.Namespace, name))
	}
	request := e.now().UTC().Format(time.RFC3339Nano)
	list := make([]fleet.Asked, len(views))
	for i, d := range views {
		list[i] = fleet.Asked{Namespace: d.Namespace, Name: d.Name, Request: request, Waiting: []string{}}
		if err := v.Request(e.ctx, d.Namespace, d.Name, request); err != nil {
			return err
		}
		fmt.Fprintf(e.stderr, "plumb: asked Datapath %s/%s\n", d.Namespace, d.Name)
	}
	if f.Wait {
		if err := f.await(e, v, list); err != nil {
			return err
		}
	}
	return f.print(e, list)
}

func (f *reconcileFlags) await(e *env, v *fleet.Viewer, list []fleet.Asked) error {
	ctx, cancel := context.WithTimeout(e.ctx, f.Timeout)
	defer cancel()
	for i := range list {
		d := &list[i]
		for !d.Handled {
			handled, waiting, err := v.Handled(ctx, d.Namespace, d.Name, d.Request)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if err == nil {
				d.Handled, d.Waiting = handled, append([]string{}, waiting...)
			}
			if !d.Handled && !wait(ctx, lookEvery) {
				break
			}
		}
	}
	return nil
}

func (f *reconcileFlags) print(e *env, list []fleet.Asked) error {
	late := false
	for _, d := range list {
		late = late || f.Wait && !d.Handled
	}
	if f.Output == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(fleet.Requests{Datapaths: list}); err != nil {
			return err
		}
	} else {
		for _, d := range list {
			fmt.Fprintln(e.stdout, f.line(&d))
		}
	}
	if late {
		return errFindings
	}
	return nil
}

func (f *reconcileFlags) line(d *fleet.Asked) string {
	name := d.Namespace + "/" + d.Name
	switch {
	case d.Handled:
		return name + ": every node that reports has looked"
	case !f.Wait:
		return name + ": asked"
	case len(d.Waiting) == 0:
		return fmt.Sprintf("%s: not within %v: every report is there, and the controller has not summed them up", name, f.Timeout)
	}
	return fmt.Sprintf("%s: not within %v: %s have not looked", name, f.Timeout, strings.Join(d.Waiting, ", "))
}
