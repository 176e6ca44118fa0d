// SPDX-License-Identifier: Apache-2.0

package scaffold

// platform is what is known of all clusters of one kind. Ranges are those that
// the kind's own tools set up where nobody says otherwise. Its fields are exported
// for the template alone.
type platform struct {
	Host     string // the same on each cluster of the kind, with NAME for the cluster's; "" is unknown
	Port     int
	Managed  bool // the cloud runs the control plane
	OwnMount bool // the nodes' own cgroup hierarchy is used, at /sys/fs/cgroup
	Replicas int  // of the operator
	IPAM     string
	PodRange string   // of the pool, where Cilium keeps it
	Facts    []string // lines of CUE below cluster
	Note     []string // what the author has to look at among them
	Values   []string // lines of CUE below values
	Beside   []string // more of them, where kube-proxy stays
}

const unlessChanged = "These ranges are what its tools set up; state yours if they differ."

// portMap serves the host ports of the distribution's own ingress.
var portMap = []string{`// Without the replacement of kube-proxy, Cilium serves no host ports.`, `cni: chainingMode: "portmap"`}

var platforms = map[string]platform{
	"kind": {
		Host: "NAME-control-plane", Port: 6443, OwnMount: true, Replicas: 1, IPAM: "kubernetes",
		Facts: []string{`nodes: 1`, `podCIDRs: ["10.244.0.0/16"]`, `serviceCIDRs: ["10.96.0.0/16"]`}, Note: []string{unlessChanged},
	},
	"kubeadm": {
		Replicas: 2, IPAM: "kubernetes",
		Facts: []string{`serviceCIDRs: ["10.96.0.0/12"]`}, Note: []string{unlessChanged},
	},
	"k3s": {
		Beside:   portMap,
		Replicas: 1, IPAM: "kubernetes",
		Facts: []string{`flannel:                 false`, `networkPolicyController: false`, `podCIDRs: ["10.42.0.0/16"]`, `serviceCIDRs: ["10.43.0.0/16"]`},
		Note:  []string{"The server runs with --flannel-backend=none --disable-network-policy.", unlessChanged},
	},
	"rke2": {
		Beside:   portMap,
		Replicas: 2, IPAM: "kubernetes",
		Facts: []string{`podCIDRs: ["10.42.0.0/16"]`, `serviceCIDRs: ["10.43.0.0/16"]`}, Note: []string{unlessChanged},
	},
	"talos": {
		Host: "localhost", Port: 7445, OwnMount: true, Replicas: 2, IPAM: "kubernetes",
		Facts: []string{`kubePrism: true`, `podCIDRs: ["10.244.0.0/16"]`, `serviceCIDRs: ["10.96.0.0/12"]`},
		Note:  []string{"KubePrism, which is on by default, serves the API server at localhost:7445.", unlessChanged},
		Values: []string{
			`// Talos gives SYS_MODULE to no pod; the rest is the chart's own list.`,
			`securityContext: capabilities: {`,
			`	ciliumAgent: ["CHOWN", "KILL", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "SYS_ADMIN", "SYS_RESOURCE", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]`,
			`	cleanCiliumState: ["NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE"]`,
			`}`,
		},
	},
	"openshift": {
		Replicas: 2, IPAM: "cluster-pool", PodRange: "10.128.0.0/14",
		Facts: []string{`serviceCIDRs: ["172.30.0.0/16"]`}, Note: []string{unlessChanged},
		Values: []string{`cni: {`, `	binPath:  "/var/lib/cni/bin"`, `	confPath: "/var/run/multus/cni/net.d"`, `}`},
	},
	"eks": {Managed: true, Replicas: 2, IPAM: "cluster-pool", PodRange: "100.64.0.0/16", Facts: []string{`serviceCIDRs: ["10.100.0.0/16"]`}, Note: []string{unlessChanged}},
	"aks": {
		Managed:  true,
		Replicas: 2, IPAM: "cluster-pool", PodRange: "100.64.0.0/16", Facts: []string{`serviceCIDRs: ["10.0.0.0/16"]`},
		Note:   []string{"The cluster was made with --network-plugin none.", unlessChanged},
		Values: []string{`aksbyocni: enabled: true`},
	},
	"gke": {
		Managed:  true,
		Replicas: 2, IPAM: "kubernetes", Facts: []string{`podCIDRs: ["10.4.0.0/14"]`},
		Note: []string{"podCIDRs is what `gcloud container clusters describe` calls clusterIpv4Cidr: state yours,", "here and in ipv4NativeRoutingCIDR."},
		Values: []string{
			`gke: enabled: true`, `cni: binPath: "/home/kubernetes/bin"`, `ipv4NativeRoutingCIDR: "10.4.0.0/14"`,
		},
	},
	"other": {Replicas: 2, IPAM: "cluster-pool", PodRange: "100.64.0.0/16"},
}
