// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"fmt"

	"plumbline.dev/plumbline/compiler/load"
)

const apiAdmission = "admissionregistration.k8s.io/v1"

// policyName is the admission policy's and its binding's, of which each environment
// in a cluster has its own.
func policyName(env *load.Environment) string { return env.Agent.Namespace + "-own-report" }

// admission lets an agent write the report of its own node alone: one node that
// is taken over can't speak for another. The API server knows the node of a token
// that is bound to a pod (Kubernetes 1.30); a token without is refused.
func admission(env *load.Environment) []object {
	const node = "authentication.kubernetes.io/node-name"
	own := fmt.Sprintf("has(request.userInfo.extra) && '%[1]s' in request.userInfo.extra && request.userInfo.extra['%[1]s'][0] == object.metadata.name", node)
	spec := object{
		"failurePolicy": "Fail",
		"matchConstraints": object{"resourceRules": []object{{
			"apiGroups": []string{groupPlumbline}, "apiVersions": []string{"*"},
			"resources": []string{"datapathnodes", "datapathnodes/status"}, "operations": []string{"CREATE", "UPDATE"},
		}}},
		"matchConditions": []object{{
			"name":       "agents",
			"expression": fmt.Sprintf("request.userInfo.username == 'system:serviceaccount:%s:%s'", env.Agent.Namespace, agentName),
		}},
		"validations": []object{{"expression": own, "message": "an agent writes the report of its own node alone", "reason": "Forbidden"}},
	}
	return []object{
		{"apiVersion": apiAdmission, "kind": "ValidatingAdmissionPolicy", "metadata": object{"name": policyName(env)}, "spec": spec},
		{"apiVersion": apiAdmission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": object{"name": policyName(env)},
			"spec": object{"policyName": policyName(env), "validationActions": []string{"Deny"}}},
	}
}
