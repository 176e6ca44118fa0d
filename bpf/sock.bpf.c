//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The socket load balancer of mode own: a connection to a service is a
 * connection to one of its backends from the first packet on.
 *
 * What these programs read is what an agent wrote, in Cilium's layout, and they
 * honour it as Cilium's own socket programs do, with three differences:
 *
 * - Cilium asks its ipcache whether an address is the node's own before it
 *   consults the surrogate entry (address 0) of a NodePort. There is no ipcache
 *   here, so the surrogate answers for loopback destinations of the host's
 *   network namespace alone; node addresses have entries of their own.
 * - For the same reason an external IP is translated wherever it is asked for.
 * - There is no L7 proxy: a service that wants one is left alone.
 */
#include <linux/errno.h>
#include <stdbool.h>

#include "maps.h"

#define AF_PROTO_TCP 6
#define AF_PROTO_UDP 17
#define AF_PROTO_UDPLITE 136

#define NSEC_PER_SEC 1000000000ULL

/* Set when the programs are loaded. Both bounds belong to the range. */
const volatile __u16 node_port_min = 30000;
const volatile __u16 node_port_max = 32767;
/* Whether an entry for any protocol (0) answers where there is none for the
 * protocol itself, as the datapath of Cilium 1.17 and 1.18 has it. */
const volatile __u8 any_protocol = 0;

/* What is to become of a socket call; a negative value is an errno. */
#define UNTOUCHED 0
#define TRANSLATED 1

struct target4 {
	__be32 address;
	__be16 port;
};

struct target6 {
	struct v6addr address;
	__be16 port;
};

static __always_inline bool balanced_protocol(__u32 protocol)
{
	return protocol == AF_PROTO_TCP || protocol == AF_PROTO_UDP || protocol == AF_PROTO_UDPLITE;
}

static __always_inline bool in_host_netns(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == bpf_get_netns_cookie(NULL);
}

static __always_inline bool in_node_port_range(__be16 port)
{
	__u16 host = bpf_ntohs(port);

	return host >= node_port_min && host <= node_port_max;
}

/* A TCP connection picks by chance. A UDP socket has no connection: its cookie
 * keeps it with one backend for as long as the count stays. */
static __always_inline __u16 pick_slot(struct bpf_sock_addr *ctx, __u16 count)
{
	__u32 number = ctx->protocol == AF_PROTO_TCP ? bpf_get_prandom_u32()
						     : (__u32)bpf_get_socket_cookie(ctx);

	return number % count + 1;
}

static __always_inline __u64 now_seconds(void)
{
	return bpf_ktime_get_ns() / NSEC_PER_SEC;
}

static __always_inline bool may_stick(__u32 backend_id, __be16 rev_nat_index)
{
	struct lb_affinity_match match = {
		.backend_id = backend_id,
		.rev_nat_index = rev_nat_index,
	};

	return bpf_map_lookup_elem(&cilium_lb_affinity_match, &match) != NULL;
}

static __always_inline bool expired(const struct lb_affinity *entry, const struct lb_service *svc)
{
	return entry->last_used + (svc->word & AFFINITY_TIMEOUT_MASK) <= now_seconds();
}

/* ---- IPv4 ---- */

static __always_inline struct lb_service *scoped4(struct lb4_key *key)
{
	struct lb_service *svc = bpf_map_lookup_elem(&cilium_lb4_services_v2, key);

	if (!svc || !(svc->flags2 & SVC_TWO_SCOPES))
		return svc;
	/* The external entry says that there is another one for clients in the
	 * cluster; if that is missing there is no service. */
	key->scope = SCOPE_INTERNAL;
	return bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
}

static __always_inline struct lb_service *entry4(struct lb4_key *key)
{
	struct lb_service *svc = scoped4(key);
	__u8 proto = key->proto;

	if (svc || !any_protocol)
		return svc;
	key->scope = SCOPE_EXTERNAL;
	key->proto = 0;
	svc = scoped4(key);
	if (!svc)
		key->proto = proto;
	return svc;
}

static __always_inline bool is_loopback4(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* lookup4 finds the master; key is then that of the entry that answers. */
static __always_inline struct lb_service *lookup4(struct bpf_sock_addr *ctx, struct lb4_key *key)
{
	struct lb_service *svc = entry4(key);

	if (svc || !is_loopback4(key->address) || !in_node_port_range(key->dport) || !in_host_netns(ctx))
		return svc;
	key->address = 0;
	key->scope = SCOPE_EXTERNAL;
	svc = entry4(key);
	return svc && (svc->flags & SVC_NODEPORT) ? svc : NULL;
}

static __always_inline struct lb4_backend *sticky4(struct bpf_sock_addr *ctx, const struct lb_service *svc,
						   struct lb4_affinity_key *client)
{
	struct lb_affinity *entry;

	client->client = bpf_get_netns_cookie(ctx);
	client->rev_nat_index = svc->rev_nat_index;
	client->netns_cookie = 1;
	entry = bpf_map_lookup_elem(&cilium_lb4_affinity, client);
	if (!entry)
		return NULL;
	if (expired(entry, svc) || !may_stick(entry->backend_id, svc->rev_nat_index)) {
		bpf_map_delete_elem(&cilium_lb4_affinity, client);
		return NULL;
	}
	entry->last_used = now_seconds();
	return bpf_map_lookup_elem(&cilium_lb4_backends_v3, &entry->backend_id);
}

static __always_inline struct lb4_backend *choose4(struct bpf_sock_addr *ctx, struct lb4_key *key,
						   const struct lb_service *svc)
{
	struct lb4_affinity_key client = {};
	struct lb4_backend *backend;
	struct lb_service *slot;

	if (svc->flags & SVC_AFFINITY) {
		backend = sticky4(ctx, svc, &client);
		if (backend)
			return backend;
	}
	key->backend_slot = pick_slot(ctx, svc->count);
	slot = bpf_map_lookup_elem(&cilium_lb4_services_v2, key);
	if (!slot)
		return NULL;
	backend = bpf_map_lookup_elem(&cilium_lb4_backends_v3, &slot->word);
	if (backend && (svc->flags & SVC_AFFINITY)) {
		struct lb_affinity entry = {
			.last_used = now_seconds(),
			.backend_id = slot->word,
		};

		bpf_map_update_elem(&cilium_lb4_affinity, &client, &entry, BPF_ANY);
	}
	return backend;
}

/* translate4 looks the target up and replaces it by a backend's. */
static __always_inline int translate4(struct bpf_sock_addr *ctx, struct target4 *target)
{
	struct lb4_key key = {
		.address = target->address,
		.dport = target->port,
		.proto = ctx->protocol,
	};
	struct lb4_sock_value frontend = {
		.address = target->address,
		.port = target->port,
	};
	struct lb4_sock_key socket = {};
	struct lb4_backend *backend;
	struct lb_service *svc;

	if (!balanced_protocol(ctx->protocol))
		return UNTOUCHED;
	svc = lookup4(ctx, &key);
	if (!svc || (svc->flags2 & SVC_L7))
		return UNTOUCHED;
	if (!svc->count)
		return -EHOSTUNREACH;
	backend = choose4(ctx, &key, svc);
	if (!backend)
		return -EHOSTUNREACH;
	/* Without this note the answers would show the backend: better none. */
	frontend.rev_nat_index = svc->rev_nat_index;
	socket.cookie = bpf_get_socket_cookie(ctx);
	socket.address = backend->address;
	socket.port = backend->port;
	if (bpf_map_update_elem(&cilium_lb4_reverse_sk, &socket, &frontend, BPF_ANY))
		return -ENOMEM;
	target->address = backend->address;
	target->port = backend->port;
	return TRANSLATED;
}

/* restore4 replaces a backend by the frontend that the socket asked for, while
 * that still is the one it was. */
static __always_inline bool restore4(struct bpf_sock_addr *ctx, struct target4 *target)
{
	struct lb4_sock_key socket = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = target->address,
		.port = target->port,
	};
	struct lb4_sock_value *frontend;
	struct lb4_key key = {};
	struct lb_service *svc;

	frontend = bpf_map_lookup_elem(&cilium_lb4_reverse_sk, &socket);
	if (!frontend)
		return false;
	key.address = frontend->address;
	key.dport = frontend->port;
	key.proto = ctx->protocol;
	svc = lookup4(ctx, &key);
	if (!svc || svc->rev_nat_index != frontend->rev_nat_index || !svc->count) {
		bpf_map_delete_elem(&cilium_lb4_reverse_sk, &socket);
		return false;
	}
	target->address = frontend->address;
	target->port = frontend->port;
	return true;
}

/* ---- IPv6 ---- */

static __always_inline struct lb_service *scoped6(struct lb6_key *key)
{
	struct lb_service *svc = bpf_map_lookup_elem(&cilium_lb6_services_v2, key);

	if (!svc || !(svc->flags2 & SVC_TWO_SCOPES))
		return svc;
	key->scope = SCOPE_INTERNAL;
	return bpf_map_lookup_elem(&cilium_lb6_services_v2, key);
}

static __always_inline struct lb_service *entry6(struct lb6_key *key)
{
	struct lb_service *svc = scoped6(key);
	__u8 proto = key->proto;

	if (svc || !any_protocol)
		return svc;
	key->scope = SCOPE_EXTERNAL;
	key->proto = 0;
	svc = scoped6(key);
	if (!svc)
		key->proto = proto;
	return svc;
}

static __always_inline bool is_loopback6(const struct v6addr *a)
{
	return !a->word[0] && !a->word[1] && !a->word[2] && a->word[3] == bpf_htonl(1);
}

static __always_inline bool is_mapped(const struct v6addr *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline struct lb_service *lookup6(struct bpf_sock_addr *ctx, struct lb6_key *key)
{
	struct lb_service *svc = entry6(key);

	if (svc || !is_loopback6(&key->address) || !in_node_port_range(key->dport) || !in_host_netns(ctx))
		return svc;
	key->address.word[3] = 0;
	key->scope = SCOPE_EXTERNAL;
	svc = entry6(key);
	return svc && (svc->flags & SVC_NODEPORT) ? svc : NULL;
}

static __always_inline struct lb6_backend *sticky6(struct bpf_sock_addr *ctx, const struct lb_service *svc,
						   struct lb6_affinity_key *client)
{
	struct lb_affinity *entry;

	client->client = bpf_get_netns_cookie(ctx);
	client->rev_nat_index = svc->rev_nat_index;
	client->netns_cookie = 1;
	entry = bpf_map_lookup_elem(&cilium_lb6_affinity, client);
	if (!entry)
		return NULL;
	if (expired(entry, svc) || !may_stick(entry->backend_id, svc->rev_nat_index)) {
		bpf_map_delete_elem(&cilium_lb6_affinity, client);
		return NULL;
	}
	entry->last_used = now_seconds();
	return bpf_map_lookup_elem(&cilium_lb6_backends_v3, &entry->backend_id);
}

static __always_inline struct lb6_backend *choose6(struct bpf_sock_addr *ctx, struct lb6_key *key,
						   const struct lb_service *svc)
{
	struct lb6_affinity_key client = {};
	struct lb6_backend *backend;
	struct lb_service *slot;

	if (svc->flags & SVC_AFFINITY) {
		backend = sticky6(ctx, svc, &client);
		if (backend)
			return backend;
	}
	key->backend_slot = pick_slot(ctx, svc->count);
	slot = bpf_map_lookup_elem(&cilium_lb6_services_v2, key);
	if (!slot)
		return NULL;
	backend = bpf_map_lookup_elem(&cilium_lb6_backends_v3, &slot->word);
	if (backend && (svc->flags & SVC_AFFINITY)) {
		struct lb_affinity entry = {
			.last_used = now_seconds(),
			.backend_id = slot->word,
		};

		bpf_map_update_elem(&cilium_lb6_affinity, &client, &entry, BPF_ANY);
	}
	return backend;
}

static __always_inline int translate6(struct bpf_sock_addr *ctx, struct target6 *target)
{
	struct lb6_key key = {
		.address = target->address,
		.dport = target->port,
		.proto = ctx->protocol,
	};
	struct lb6_sock_value frontend = {
		.address = target->address,
		.port = target->port,
	};
	struct lb6_sock_key socket = {};
	struct lb6_backend *backend;
	struct lb_service *svc;

	if (!balanced_protocol(ctx->protocol))
		return UNTOUCHED;
	svc = lookup6(ctx, &key);
	if (!svc || (svc->flags2 & SVC_L7))
		return UNTOUCHED;
	if (!svc->count)
		return -EHOSTUNREACH;
	backend = choose6(ctx, &key, svc);
	if (!backend)
		return -EHOSTUNREACH;
	frontend.rev_nat_index = svc->rev_nat_index;
	socket.cookie = bpf_get_socket_cookie(ctx);
	socket.address = backend->address;
	socket.port = backend->port;
	if (bpf_map_update_elem(&cilium_lb6_reverse_sk, &socket, &frontend, BPF_ANY))
		return -ENOMEM;
	target->address = backend->address;
	target->port = backend->port;
	return TRANSLATED;
}

static __always_inline bool restore6(struct bpf_sock_addr *ctx, struct target6 *target)
{
	struct lb6_sock_key socket = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = target->address,
		.port = target->port,
	};
	struct lb6_sock_value *frontend;
	struct lb6_key key = {};
	struct lb_service *svc;

	frontend = bpf_map_lookup_elem(&cilium_lb6_reverse_sk, &socket);
	if (!frontend)
		return false;
	key.address = frontend->address;
	key.dport = frontend->port;
	key.proto = ctx->protocol;
	svc = lookup6(ctx, &key);
	if (!svc || svc->rev_nat_index != frontend->rev_nat_index || !svc->count) {
		bpf_map_delete_elem(&cilium_lb6_reverse_sk, &socket);
		return false;
	}
	target->address = frontend->address;
	target->port = frontend->port;
	return true;
}

/* ---- between the socket call and the above ---- */

static __always_inline int refuse(int error)
{
	bpf_set_retval(error);
	return 0;
}

static __always_inline int forward4(struct bpf_sock_addr *ctx)
{
	struct target4 target = {
		.address = ctx->user_ip4,
		.port = ctx->user_port,
	};
	int verdict = translate4(ctx, &target);

	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATED) {
		ctx->user_ip4 = target.address;
		ctx->user_port = target.port;
	}
	return 1;
}

static __always_inline int backward4(struct bpf_sock_addr *ctx)
{
	struct target4 target = {
		.address = ctx->user_ip4,
		.port = ctx->user_port,
	};

	if (restore4(ctx, &target)) {
		ctx->user_ip4 = target.address;
		ctx->user_port = target.port;
	}
	return 1;
}

static __always_inline void load6(struct bpf_sock_addr *ctx, struct target6 *target)
{
	target->address.word[0] = ctx->user_ip6[0];
	target->address.word[1] = ctx->user_ip6[1];
	target->address.word[2] = ctx->user_ip6[2];
	target->address.word[3] = ctx->user_ip6[3];
	target->port = ctx->user_port;
}

static __always_inline void store6(struct bpf_sock_addr *ctx, const struct target6 *target)
{
	ctx->user_ip6[0] = target->address.word[0];
	ctx->user_ip6[1] = target->address.word[1];
	ctx->user_ip6[2] = target->address.word[2];
	ctx->user_ip6[3] = target->address.word[3];
	ctx->user_port = target->port;
}

/* An IPv6 socket reaches IPv4 services by mapped addresses (::ffff:a.b.c.d). */
static __always_inline int forward6(struct bpf_sock_addr *ctx)
{
	struct target6 target;
	int verdict;

	load6(ctx, &target);
	if (is_mapped(&target.address)) {
		struct target4 mapped = {
			.address = target.address.word[3],
			.port = target.port,
		};

		verdict = translate4(ctx, &mapped);
		target.address.word[3] = mapped.address;
		target.port = mapped.port;
	} else {
		verdict = translate6(ctx, &target);
	}
	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATED)
		store6(ctx, &target);
	return 1;
}

static __always_inline int backward6(struct bpf_sock_addr *ctx)
{
	struct target6 target;

	load6(ctx, &target);
	if (is_mapped(&target.address)) {
		struct target4 mapped = {
			.address = target.address.word[3],
			.port = target.port,
		};

		if (!restore4(ctx, &mapped))
			return 1;
		target.address.word[3] = mapped.address;
		target.port = mapped.port;
	} else if (!restore6(ctx, &target)) {
		return 1;
	}
	store6(ctx, &target);
	return 1;
}

SEC("cgroup/connect4")
int plumb_connect4(struct bpf_sock_addr *ctx)
{
	return forward4(ctx);
}

SEC("cgroup/connect6")
int plumb_connect6(struct bpf_sock_addr *ctx)
{
	return forward6(ctx);
}

SEC("cgroup/sendmsg4")
int plumb_sendmsg4(struct bpf_sock_addr *ctx)
{
	return forward4(ctx);
}

SEC("cgroup/sendmsg6")
int plumb_sendmsg6(struct bpf_sock_addr *ctx)
{
	return forward6(ctx);
}

SEC("cgroup/recvmsg4")
int plumb_recvmsg4(struct bpf_sock_addr *ctx)
{
	return backward4(ctx);
}

SEC("cgroup/recvmsg6")
int plumb_recvmsg6(struct bpf_sock_addr *ctx)
{
	return backward6(ctx);
}

SEC("cgroup/getpeername4")
int plumb_getpeername4(struct bpf_sock_addr *ctx)
{
	return backward4(ctx);
}

SEC("cgroup/getpeername6")
int plumb_getpeername6(struct bpf_sock_addr *ctx)
{
	return backward6(ctx);
}

char __license[] SEC("license") = "Dual BSD/GPL";
