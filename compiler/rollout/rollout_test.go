// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/rollout"
)

// base is an environment and a cluster that is as it should be, as an API server and
// Flux leave it. A case is a patch of either (RFC 7386), and what is found then.
func base(t *testing.T) (want, held map[string]any) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/base.txtar")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]map[string]any{}
	for _, f := range archive.Files {
		parts[f.Name] = tree(t, f.Data)
	}
	return parts["want.yaml"], parts["held.yaml"]
}

func tree(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// merge patches a tree: null deletes, an object is merged, and all else is put in place.
func merge(into, patch map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for key, v := range patch {
		object, nested := v.(map[string]any)
		below, _ := into[key].(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
		case nested:
			into[key] = merge(below, object)
		default:
			into[key] = v
		}
	}
	return into
}

func as[T any](t *testing.T, tree map[string]any) *T {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var out T
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func compared(t *testing.T, want, held map[string]any) string {
	t.Helper()
	w := as[rollout.Wanted](t, want)
	for _, o := range []*map[string]any{&w.Release, &w.Config, &w.DaemonSet} {
		if *o == nil {
			continue
		}
		text, err := yaml.Marshal(*o)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := compare.Decode(text) // as plumb reads what it has built
		if err != nil {
			t.Fatal(err)
		}
		*o = objects[0]
	}
	r, err := rollout.Compare(w, as[rollout.Held](t, held))
	if err != nil {
		t.Fatal(err)
	}
	if r.InSync != (len(r.Findings) == 0) {
		t.Errorf("inSync is %v with %d findings", r.InSync, len(r.Findings))
	}
	var out strings.Builder
	for _, f := range r.Findings {
		out.WriteString(f.String() + "\n")
	}
	for _, text := range r.NotJudged {
		out.WriteString("not judged: " + text + "\n")
	}
	return out.String()
}

// A cluster that Flux has brought to the environment has nothing to say, whatever the
// API server, Helm and Flux have added.
func TestInSync(t *testing.T) {
	if got := compared(t, first(base(t)), second(base(t))); got != "" {
		t.Error(got)
	}
}

func first(a, _ map[string]any) map[string]any  { return a }
func second(_, b map[string]any) map[string]any { return b }

func TestFindings(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d cases, %v", len(names), err)
	}
	seen := map[rollout.Kind]bool{}
	for _, name := range names {
		if filepath.Base(name) == "base.txtar" {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, held := base(t)
			for i, f := range archive.Files {
				switch f.Name {
				case "want.yaml":
					want = merge(want, tree(t, f.Data))
				case "held.yaml":
					held = merge(held, tree(t, f.Data))
				case "found":
					got := compared(t, want, held)
					for line := range strings.Lines(got) {
						kind, _, _ := strings.Cut(line, " ")
						seen[rollout.Kind(kind)] = true
					}
					if os.Getenv("PLUMB_UPDATE") == "1" {
						archive.Files[i].Data = []byte(got)
						if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
							t.Fatal(err)
						}
					} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
			}
		})
	}
	docs, err := os.ReadFile("../../docs/CLUSTER.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range rollout.Kinds() {
		if !strings.Contains(string(docs), "| `"+string(kind)+"` |") {
			t.Errorf("docs/CLUSTER.md does not say what %s is", kind)
		}
		if !seen[kind] {
			t.Errorf("no case finds a %s", kind)
		}
	}
}
