// SPDX-License-Identifier: Apache-2.0

// Package lookup follows one connection through load-balancer maps, step by step
// and byte by byte, as Cilium's datapath does (bpf/bpf_sock.c, bpf/lib/lb.h and
// bpf/lib/nodeport.h of 1.17 to 1.20), and lays two such ways side by side. It is
// pure: it is told what the maps hold, and it neither plans nor judges a State,
// which is runtime/plan's.
package lookup
