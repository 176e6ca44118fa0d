// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/crd"
)

// statusSchema is that of a kind's status.
func statusSchema(t *testing.T, kind string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	list, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range list {
		data, err := yaml.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Spec.Names.Kind == kind {
			return d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
		}
	}
	t.Fatalf("no definition of %s", kind)
	return apiextensionsv1.JSONSchemaProps{}
}

// What a report may say the API server takes, and nothing else.
func TestDefinitionHasTheReasons(t *testing.T) {
	schema := statusSchema(t, "DatapathNode")
	var statuses []string
	for _, s := range reconcile.Statuses() {
		statuses = append(statuses, s.String())
	}
	reasons := []string{crd.ReasonNoPins}
	for _, r := range reconcile.Reasons() {
		reasons = append(reasons, string(r))
	}
	for field, want := range map[string][]string{"status": statuses, "reason": reasons} {
		var got []string
		for _, v := range schema.Properties[field].Enum {
			var text string
			if err := json.Unmarshal(v.Raw, &text); err != nil {
				t.Fatal(err)
			}
			got = append(got, text)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	rules := fmt.Sprint(schema.Properties["conditions"].XValidations)
	for _, reason := range reasons {
		if !strings.Contains(rules, "'"+reason+"'") {
			t.Errorf("no condition may have the reason %s: %s", reason, rules)
		}
	}
}

// A report stays within what the API server takes, whatever the limit and the texts.
func TestReportIsBounded(t *testing.T) {
	n := &Node{Interval: time.Second, Limit: 5000}
	r := reconcile.Report{Status: reconcile.Drifted, Reason: reconcile.ReasonDriftDetected, Err: fmt.Errorf("%s", strings.Repeat("ä", 5000))}
	for range 2000 {
		r.Drifts = append(r.Drifts, reconcile.Drift{Drift: plan.Drift{Kind: plan.SlotGap, Message: strings.Repeat("ö", 2000)}})
	}
	s := n.status(r, time.Now())
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 2*v1alpha1.MaxReport || len(s.Drifts) == 0 || len(s.Drifts) > v1alpha1.MaxDrifts || s.DriftCount != 2000 {
		t.Errorf("%d bytes with %d of %d drifts", len(data), len(s.Drifts), s.DriftCount)
	}
	if m := s.Drifts[0].Message; len(m) > v1alpha1.MaxDriftMessage || !strings.HasSuffix(m, "…") || !utf8.ValidString(m) {
		t.Errorf("a drift's message has %d bytes: %q", len(m), m)
	}
	if len(s.Message) > v1alpha1.MaxMessage {
		t.Errorf("the message has %d bytes", len(s.Message))
	}
	schema := statusSchema(t, "DatapathNode")
	got := []int64{*schema.Properties["drifts"].MaxItems, *schema.Properties["message"].MaxLength, *schema.Properties["drifts"].Items.Schema.Properties["message"].MaxLength}
	if diff := cmp.Diff([]int64{v1alpha1.MaxDrifts, v1alpha1.MaxMessage, v1alpha1.MaxDriftMessage}, got); diff != "" {
		t.Errorf("bounds in the definition (-want +got):\n%s", diff)
	}
}
