// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"bytes"
	"fmt"
	"strconv"

	"plumbline.dev/plumbline/compiler/load"
)

// Variable is one of those by which manifests outside of Plumbline refer to an
// environment.
type Variable struct{ Name, Value string }

// Variables are an environment's, by name.
func Variables(env *load.Environment) []Variable {
	list := []Variable{
		{"CILIUM_CGROUP_AUTO_MOUNT", strconv.FormatBool(env.Cgroup.AutoMount)},
		{"CILIUM_CGROUP_ROOT", env.Cgroup.Root},
		{"CILIUM_CHART_VERSION", env.Chart.Version},
		{"ENVIRONMENT", env.Name},
	}
	if env.API.Host != "" {
		list = append([]Variable{{"API_HOST", env.API.Host}, {"API_PORT", strconv.Itoa(int(env.API.Port))}}, list...)
	}
	return list
}

// EnvFile writes variables as NAME=VALUE lines.
func EnvFile(list []Variable) []byte {
	var b bytes.Buffer
	for _, v := range list {
		fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Value)
	}
	return b.Bytes()
}
