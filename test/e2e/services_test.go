// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// service is a Service of the cluster with its endpoints.
type service struct {
	namespace, name, address string
	endpoints                []string
}

// frontend is where the service is reached.
func (s service) frontend() string { return s.address + ":80" }

func (s service) manifests() string {
	var endpoints []string
	for _, address := range s.endpoints {
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%q], conditions: {ready: true}}", address))
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {namespace: %[1]s, name: %[2]s}
spec: {type: ClusterIP, clusterIP: %[3]s, clusterIPs: [%[3]s], ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: %[1]s, name: %[2]s-1, labels: {kubernetes.io/service-name: %[2]s}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [%[4]s]
`, s.namespace, s.name, s.address, strings.Join(endpoints, ", "))
}

// nodeManifest is this machine, as a node of the cluster.
const nodeManifest = "apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {kubernetes.io/os: linux}}\nstatus: {addresses: [{type: InternalIP, address: %s}]}\n"

// follow has the stand-in for Cilium write a service's entries, and those of no
// other but the API server's own, which every cluster has.
func (n *node) follow(t testing.TB, services ...service) {
	t.Helper()
	text := fmt.Sprintf(nodeManifest, "n1", nodeAddress) + "---\n" + kubernetes
	for _, s := range services {
		text += "---\n" + s.manifests()
	}
	replace(t, filepath.Join(n.files, "cluster.yaml"), text)
}

// kubernetes is the Service that an API server makes, here without endpoints.
const kubernetes = `apiVersion: v1
kind: Service
metadata: {namespace: default, name: kubernetes}
spec: {type: ClusterIP, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: https, port: 443, targetPort: 6443, protocol: TCP}]}
`

// replace writes a file in one step.
func replace(t testing.TB, name, text string) {
	t.Helper()
	next := filepath.Join(filepath.Dir(name), ".next")
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
}
