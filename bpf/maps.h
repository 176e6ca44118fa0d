/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The load balancer's maps, in the layout that Cilium 1.17 to 1.20 uses.
 *
 * Addresses, ports and reverse-NAT ids are in network byte order wherever they
 * stand; backend ids, counts and slots in the host's. No key has a byte that no
 * field covers: it would enter the hash. The sizes given here are those of the
 * chart's defaults; whoever creates the maps sets what the environment wants.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SCOPE_EXTERNAL 0
#define SCOPE_INTERNAL 1

/* lb_service.flags */
#define SVC_NODEPORT 0x02
#define SVC_AFFINITY 0x10
/* lb_service.flags2 */
#define SVC_L7 0x04
#define SVC_TWO_SCOPES 0x20

/* The part of a master's word below its algorithm: the affinity timeout. */
#define AFFINITY_TIMEOUT_MASK 0xffffff

struct v6addr {
	__be32 word[4];
};

struct lb4_key {
	__be32 address;
	__be16 dport;
	__u16 backend_slot; /* 0: the master */
	__u8 proto;
	__u8 scope;
	__u8 pad[2];
};

struct lb6_key {
	struct v6addr address;
	__be16 dport;
	__u16 backend_slot;
	__u8 proto;
	__u8 scope;
	__u8 pad[2];
};

struct lb_service {
	__u32 word; /* of a slot: the backend's id */
	__u16 count;
	__be16 rev_nat_index;
	__u8 flags;
	__u8 flags2;
	__u16 qcount;
};

struct lb4_backend {
	__be32 address;
	__be16 port;
	__u8 proto;
	__u8 flags;
	__u16 cluster_id;
	__u8 zone;
	__u8 pad;
};

struct lb6_backend {
	struct v6addr address;
	__be16 port;
	__u8 proto;
	__u8 flags;
	__u16 cluster_id;
	__u8 zone;
	__u8 pad;
};

struct lb4_reverse_nat {
	__be32 address;
	__be16 port;
} __attribute__((packed));

struct lb6_reverse_nat {
	struct v6addr address;
	__be16 port;
} __attribute__((packed));

struct lb4_sock_key {
	__u64 cookie;
	__be32 address;
	__be16 port;
	__u16 pad;
};

struct lb4_sock_value {
	__be32 address;
	__be16 port;
	__be16 rev_nat_index;
};

struct lb6_sock_key {
	__u64 cookie;
	struct v6addr address;
	__be16 port;
	__u8 pad[6];
};

struct lb6_sock_value {
	struct v6addr address;
	__be16 port;
	__be16 rev_nat_index;
};

struct lb_affinity_match {
	__u32 backend_id;
	__be16 rev_nat_index;
	__u16 pad;
};

struct lb4_affinity_key {
	__u64 client; /* the network namespace's cookie */
	__be16 rev_nat_index;
	__u8 netns_cookie; /* 1: client is one */
	__u8 pad[5];
};

struct lb6_affinity_key {
	__u64 client;
	__u64 client_high; /* 0 for a cookie */
	__be16 rev_nat_index;
	__u8 netns_cookie;
	__u8 pad[5];
};

struct lb_affinity {
	__u64 last_used; /* seconds of the monotonic clock */
	__u32 backend_id;
	__u32 pad;
};

#define LB_MAP(name, kind, key_type, value_type, n, map_flag)  \
	struct {                                               \
		__uint(type, kind);                            \
		__type(key, key_type);                         \
		__type(value, value_type);                     \
		__uint(max_entries, n);                        \
		__uint(map_flags, map_flag);                   \
	} name SEC(".maps")

#define LB_ENTRIES 65536
#define LB_SOCKETS 262144

LB_MAP(cilium_lb4_services_v2, BPF_MAP_TYPE_HASH, struct lb4_key, struct lb_service, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb6_services_v2, BPF_MAP_TYPE_HASH, struct lb6_key, struct lb_service, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb4_backends_v3, BPF_MAP_TYPE_HASH, __u32, struct lb4_backend, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb6_backends_v3, BPF_MAP_TYPE_HASH, __u32, struct lb6_backend, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb4_reverse_nat, BPF_MAP_TYPE_HASH, __be16, struct lb4_reverse_nat, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb6_reverse_nat, BPF_MAP_TYPE_HASH, __be16, struct lb6_reverse_nat, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb_affinity_match, BPF_MAP_TYPE_HASH, struct lb_affinity_match, __u8, LB_ENTRIES, BPF_F_NO_PREALLOC);
LB_MAP(cilium_lb4_affinity, BPF_MAP_TYPE_LRU_HASH, struct lb4_affinity_key, struct lb_affinity, LB_ENTRIES, 0);
LB_MAP(cilium_lb6_affinity, BPF_MAP_TYPE_LRU_HASH, struct lb6_affinity_key, struct lb_affinity, LB_ENTRIES, 0);
LB_MAP(cilium_lb4_reverse_sk, BPF_MAP_TYPE_LRU_HASH, struct lb4_sock_key, struct lb4_sock_value, LB_SOCKETS, 0);
LB_MAP(cilium_lb6_reverse_sk, BPF_MAP_TYPE_LRU_HASH, struct lb6_sock_key, struct lb6_sock_value, LB_SOCKETS, 0);
