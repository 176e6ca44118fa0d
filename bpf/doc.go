// SPDX-License-Identifier: Apache-2.0

// Package bpf holds eBPF programs: the socket load balancer's, which it loads over
// given maps and attaches to a cgroup by pinned links, and those by which an
// agent compares and writes whole maps (Comparer, Writer). It pins no map and
// decides on no entry: that is runtime/store's and runtime/plan's.
//
// The objects are committed, so that building Plumbline needs Go alone.
// `make generate` rebuilds them, and `make verify` demands the same bytes.
package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -tags linux -no-global-types sock sock.bpf.c -- -O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -tags linux -no-global-types entries entries.bpf.c -- -O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
