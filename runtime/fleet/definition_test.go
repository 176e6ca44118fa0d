// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/schema/crd"
)

// The definition of a Datapath takes the reasons that there are, and as many drifts as
// a status tells of.
func TestDefinitionHasTheReasons(t *testing.T) {
	list, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(tree map[string]any) bool {
		return tree["metadata"].(map[string]any)["name"] == "datapaths.plumbline.dev"
	})
	data, err := yaml.Marshal(list[i])
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	found := regexp.MustCompile(`c\.reason in \[([^\]]*)\]`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("no rule on a condition's reason")
	}
	got := regexp.MustCompile(`\w+`).FindAllString(found[1], -1)
	want := Reasons()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if !strings.Contains(text, "maxItems: 32") || maxDrifts != 32 {
		t.Errorf("a status holds %d drifts, the definition another number", maxDrifts)
	}
}
