// SPDX-License-Identifier: Apache-2.0

package load

// Agent is Plumbline's own part in a cluster. schema/agent.cue says what each
// field means.
type Agent struct {
	Enabled     bool     `json:"enabled"`
	Gate        bool     `json:"gate"`
	Programs    bool     `json:"programs"`
	Image       string   `json:"image"` // "" only where the agent is off
	Namespace   string   `json:"namespace"`
	PullSecrets []string `json:"pullSecrets"`
	Port        uint16   `json:"port"`
	Traces      string   `json:"traces"` // "" is none
	// MaxUnavailable is a number or a share ("10%"), as Kubernetes takes both.
	MaxUnavailable any `json:"maxUnavailable"`
	// Tolerations are nil for every taint.
	Tolerations  []map[string]any  `json:"tolerations"`
	NodeSelector map[string]string `json:"nodeSelector"`
	Resources    Resources         `json:"resources"`
	Controller   Controller        `json:"controller"`
	Monitoring   Monitoring        `json:"monitoring"`
}

// Controller sums up what the agents find. Replicas are 0 where nobody says how
// many.
type Controller struct {
	Replicas  int       `json:"replicas"`
	Port      uint16    `json:"port"`
	Resources Resources `json:"resources"`
	// Events is where notification-controller is posted to; "" is nowhere.
	Events string `json:"events"`
}

// Resources are quantities as Kubernetes writes them. CPULimit is "" for none.
type Resources struct {
	CPU         string `json:"cpu"`
	CPULimit    string `json:"cpuLimit"`
	Memory      string `json:"memory"`
	MemoryLimit string `json:"memoryLimit"`
}

// Monitoring is what Prometheus and Grafana are given.
type Monitoring struct {
	Enabled   bool              `json:"enabled"`
	Labels    map[string]string `json:"labels"`
	Interval  string            `json:"interval"`
	Dashboard Dashboard         `json:"dashboard"`
}

// Dashboard is Grafana's. Namespace is "" where it is the agent's.
type Dashboard struct {
	Enabled   bool   `json:"enabled"`
	Label     string `json:"label"`
	Namespace string `json:"namespace"`
}
