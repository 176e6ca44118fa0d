// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// View is a Datapath as a person looks at it: what its status says, and a row for
// each node.
type View struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Status is what the controller wrote; its conditions may be missing.
	Status v1alpha1.DatapathStatus `json:"status"`
	Rows   []Row                   `json:"nodes"`
}

// Row is one node of a View.
type Row struct {
	Node string `json:"node"`
	// State is what the report comes to: "in sync", "drifted", "not in sync",
	// "without Cilium's maps" or "unknown". A report that is older than three intervals
	// or of other settings is unknown, whatever it says.
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Drifts are how many confirmed differences there are, Worst is the first.
	Drifts   int             `json:"drifts"`
	Worst    *v1alpha1.Drift `json:"worst,omitempty"`
	Layout   string          `json:"layout,omitempty"`
	Agent    string          `json:"agent,omitempty"`
	Reported *metav1.Time    `json:"reportedAt,omitempty"`
}

// Ready gives the Datapath's own condition.
func (v *View) Ready() metav1.Condition {
	i := slices.IndexFunc(v.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.Ready })
	if i < 0 {
		return metav1.Condition{Type: v1alpha1.Ready, Status: metav1.ConditionUnknown, Reason: "NoStatus", Message: "no controller has written its status yet"}
	}
	return v.Status.Conditions[i]
}

// Fleet is what `plumb status -o json` prints.
type Fleet struct {
	// Ready tells that there is a Datapath, and each is Ready.
	Ready     bool   `json:"ready"`
	Datapaths []View `json:"datapaths"`
}

// Asked is a Datapath that was asked to be reconciled.
type Asked struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Request   string `json:"request"` // the value of reconcile.fluxcd.io/requestedAt
	Handled   bool   `json:"handled"`
	// Waiting are the nodes whose report has not handled it.
	Waiting []string `json:"waiting"`
}

// Requests is what `plumb reconcile -o json` prints.
type Requests struct {
	Datapaths []Asked `json:"datapaths"`
}

// Viewer reads what there is to look at.
type Viewer struct {
	Client   dynamic.Interface
	Metadata metadata.Interface
	Now      func() time.Time
}

// Views gives the Datapaths of a namespace, "" being all, or the one of a name; sorted.
// What could not be read is an error, and never nothing (I1).
func (v *Viewer) Views(ctx context.Context, namespace, name string) ([]View, error) {
	list, err := v.Client.Resource(datapaths).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Datapaths: %w", err)
	}
	reports, err := v.Client.Resource(datapathNodes).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list DatapathNodes: %w", err)
	}
	cluster, err := v.Metadata.Resource(nodes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Nodes: %w", err)
	}
	var views []View
	for i := range list.Items {
		if d := &list.Items[i]; name == "" || d.GetName() == name {
			view, err := v.view(d, reports.Items, cluster.Items)
			if err != nil {
				return nil, err
			}
			views = append(views, view)
		}
	}
	slices.SortFunc(views, func(a, b View) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return views, nil
}

func (v *Viewer) view(d *unstructured.Unstructured, reports []unstructured.Unstructured, nodes []metav1.PartialObjectMetadata) (View, error) {
	out := View{Namespace: d.GetNamespace(), Name: d.GetName()}
	var err error
	if out.Status, err = statusOf[v1alpha1.DatapathStatus](d); err != nil {
		return out, err
	}
	in := Input{Generation: d.GetGeneration(), Now: v.Now()}
	rows := map[string]Row{}
	// Of a spec that can't be understood every node counts, and Ready says why.
	settings, _ := settingsOf(d)
	for i := range nodes {
		if n := nodes[i].Name; settings.counts(&nodes[i]) {
			rows[n] = Row{Node: n, State: unknown, Message: "there is no report of it"}
		}
	}
	for i := range reports {
		o := &reports[i]
		if o.GetNamespace() != out.Namespace {
			continue
		}
		r := &Report{Node: o.GetName()}
		r.Status, r.Err = statusOf[v1alpha1.NodeStatus](o)
		rows[r.Node] = rowOf(r, in)
	}
	for _, row := range rows {
		out.Rows = append(out.Rows, row)
	}
	slices.SortFunc(out.Rows, func(a, b Row) int { return cmp.Compare(a.Node, b.Node) })
	return out, nil
}

func rowOf(r *Report, in Input) Row {
	row := Row{Node: r.Node, State: kindOf(r, in), Reason: r.Status.Reason, Message: r.Status.Message, Drifts: r.Status.DriftCount, Layout: r.Status.Layout, Agent: r.Status.Agent}
	switch {
	case r.Err != nil:
		row.Message = "its report can't be understood: " + r.Err.Error()
		return row
	case r.Status.Settings != in.Generation:
		row.Message = fmt.Sprintf("its report is of settings %d, and %d stand", r.Status.Settings, in.Generation)
	case r.old(in.Now):
		row.Message = "its report is older than three intervals"
	}
	if !r.Status.Reported.IsZero() {
		row.Reported = &r.Status.Reported
	}
	if len(r.Status.Drifts) > 0 {
		row.Worst = &r.Status.Drifts[0]
	}
	return row
}

// Request has the agents look at once: it gives the Datapath a request to reconcile,
// which its status has in lastHandledReconcileAt once every node that reports has
// looked since.
func (v *Viewer) Request(ctx context.Context, namespace, name, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, requestedAt, value)
	_, err := v.Client.Resource(datapaths).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("ask Datapath %s/%s: %w", namespace, name, err)
	}
	return nil
}

// Handled tells whether a request has been handled, and names the nodes of which a
// report that counts has not.
func (v *Viewer) Handled(ctx context.Context, namespace, name, value string) (done bool, waiting []string, err error) {
	d, err := v.Client.Resource(datapaths).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, nil, fmt.Errorf("read Datapath %s/%s: %w", namespace, name, err)
	}
	status, err := statusOf[v1alpha1.DatapathStatus](d)
	if err != nil || status.LastHandledReconcileAt == value {
		return err == nil, nil, err
	}
	reports, err := v.Client.Resource(datapathNodes).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, nil, fmt.Errorf("list DatapathNodes: %w", err)
	}
	for i := range reports.Items {
		if s, err := statusOf[v1alpha1.NodeStatus](&reports.Items[i]); err != nil || s.LastHandledReconcileAt != value {
			waiting = append(waiting, reports.Items[i].GetName())
		}
	}
	slices.Sort(waiting)
	return false, waiting, nil
}
