// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"testing"

	"github.com/google/cel-go/cel"
	"sigs.k8s.io/yaml"
)

// judged is what Flux makes of a status: failed comes before current, and what is
// neither is in progress, as is an expression that can't be evaluated.
func judged(t *testing.T, kind, text string) string {
	t.Helper()
	env, err := cel.NewEnv(cel.Variable("status", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &status); err != nil {
		t.Fatal(err)
	}
	for _, e := range gateHealth() {
		if e["kind"] != kind {
			continue
		}
		for _, verdict := range []string{"failed", "current"} {
			expr, ok := e[verdict].(string)
			if !ok {
				continue
			}
			ast, issues := env.Compile(expr)
			if issues.Err() != nil {
				t.Fatalf("%s: %v", expr, issues.Err())
			}
			program, err := env.Program(ast)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := program.Eval(map[string]any{"status": status})
			if err != nil {
				t.Errorf("%s of {%s}: %v", verdict, text, err)
			} else if out.Value() == true {
				return verdict
			}
		}
	}
	return "in progress"
}

// Of a Datapath silence is no health, and drift beyond the limits fails at once.
func TestGateJudgesTheDatapath(t *testing.T) {
	for text, want := range map[string]string{
		`observedGeneration: -1`:                      "in progress",
		`conditions: []`:                              "in progress",
		`conditions: [{type: Ready, status: "True"}]`: "in progress",
		`conditions: [{type: Ready, status: "True"}, {type: Drifted, status: "False"}]`:                                     "current",
		`conditions: [{type: Ready, status: "True"}, {type: Drifted, status: Unknown}]`:                                     "in progress",
		`conditions: [{type: Ready, status: "False"}, {type: Drifted, status: "False"}]`:                                    "in progress",
		`conditions: [{type: Ready, status: Unknown, reason: Silent}, {type: Drifted, status: "False"}]`:                    "in progress",
		`conditions: [{type: Ready, status: Unknown}, {type: Drifted, status: "True"}]`:                                     "failed",
		`conditions: [{type: Ready, status: "False"}, {type: Drifted, status: "True"}]`:                                     "failed",
		`conditions: [{type: Ready, status: "True"}, {type: Drifted, status: "True"}, {type: Reconciling, status: "True"}]`: "current", // within the limits
		`conditions: [{type: Ready, status: Unknown, reason: NoPins}, {type: Drifted, status: Unknown}]`:                    "current",
		`conditions: [{type: Ready, status: Unknown, reason: NoPins}, {type: Drifted, status: "True"}]`:                     "failed",
	} {
		if got := judged(t, "Datapath", text); got != want {
			t.Errorf("{%s} is %s, want %s", text, got, want)
		}
	}
}

// A DaemonSet is rolled out once each node has its new pod, ready or not.
func TestGateJudgesTheRollout(t *testing.T) {
	for text, want := range map[string]string{
		`observedGeneration: 1`:     "in progress",
		`desiredNumberScheduled: 0`: "current",
		`desiredNumberScheduled: 3`: "in progress",
		`{desiredNumberScheduled: 3, updatedNumberScheduled: 2, numberReady: 3}`: "in progress",
		`{desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 1}`: "current",
	} {
		if got := judged(t, "DaemonSet", text); got != want {
			t.Errorf("{%s} is %s, want %s", text, got, want)
		}
	}
}
