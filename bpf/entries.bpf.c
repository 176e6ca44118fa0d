//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the agent does with whole maps, done where the maps are: compare one with
 * entries that are expected, write a list of entries.
 *
 * Programs and agent share one array, `area`, which the agent maps into its
 * memory: a header, then what each program says below. A program only ever sees
 * offsets and counts that the agent wrote, and checks every one of them.
 */
#include <linux/errno.h>

#include "maps.h"

/* An array of one value; its size is set when the programs are loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__uint(value_size, 4096);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} area SEC(".maps");

/* The last offset at which an access may begin: the area's size less the
 * largest access, RECORD bytes. */
const volatile __u32 last_offset = 4096 - 64;

#define RECORD 64 /* bytes of an operation, and at least those of any row */

struct header {
	__u64 rows; /* how many are expected, or how many operations there are */
	__u64 slot_mask;
	/* offsets in the area, in bytes */
	__u64 rows_at, slots_at, seen_at, reports_at;
	__u64 max_reports;
	/* The row that is expected next. It is here and not on the stack, where the
	 * verifier would follow its every value. */
	__u64 next;
	/* results */
	__u64 visited, matched, repeated, reports, failed;
};

#define PROBES 32

/* Pieces of an entry: keys and values are taken in words of eight bytes, the
 * last one padded with zeroes. All sizes are constants of the compiler's. */
#define WORDS(size) (((size) + 7) / 8)

static __always_inline __u64 word(const void *from, __u32 size, __u32 n)
{
	const char *p = from + 8 * n;

	switch (size - 8 * n) {
	case 1:
		return *(const __u8 *)p;
	case 2:
		return *(const __u16 *)p;
	case 4:
		return *(const __u32 *)p;
	case 6:
		return *(const __u32 *)p | (__u64)*(const __u16 *)(p + 4) << 32;
	}
	return *(const __u64 *)p;
}

static __always_inline struct header *header(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&area, &zero);
}

/* at gives the area's memory at an offset, or NULL where it would end too soon. */
static __always_inline void *at(struct header *h, __u64 offset)
{
	if (offset > last_offset)
		return 0;
	return (void *)h + offset;
}

static __always_inline __u64 mix(__u64 sum, __u64 word)
{
	sum = (sum ^ word) * 0xff51afd7ed558ccdULL;
	return sum ^ sum >> 32;
}

/* Compare. Rows are key words, then value words; expected in any order, but a
 * map that has its entries in the rows' order is compared without a search.
 * Slots are the numbers of rows, from 1 on, at the places that a key's hash
 * gives: an open-addressing table with steps that depend on the hash too. */
struct context {
	struct header *h;
};

static __always_inline int row_has(const __u64 *row, const void *key, __u32 ks)
{
	__u64 other = 0;

#pragma unroll
	for (__u32 i = 0; i < WORDS(ks); i++)
		other |= row[i] ^ word(key, ks, i);
	return !other;
}

/* hash places a key in the slots; bpf.Comparer has the same in Go. */
static __always_inline __u64 hash(const void *key, __u32 ks)
{
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < WORDS(ks); i++)
		sum = mix(sum, word(key, ks, i));
	return mix(sum, 0); /* the first mix moves a difference in high bits not far enough */
}

/* A search for the row of a key. It is by bpf_loop, not a plain loop: that the
 * verifier follows round after round, and without CAP_PERFMON each of its
 * branches once more as the processor might guess it. */
struct search {
	struct header *h;
	__u64 key[3];
	__u64 sum, step;
	__u64 number; /* the row's, from 1 on; 0: not found */
};

static __always_inline long probe(struct search *s, __u32 ks, __u32 stride)
{
	struct header *h = s->h;
	__u32 *slot = at(h, h->slots_at + 4 * (s->sum & h->slot_mask));
	__u64 *row;

	if (!slot || !*slot)
		return 1;
	row = at(h, h->rows_at + (*slot - 1ULL) * stride);
	if (row && row_has(row, s->key, 8 * WORDS(ks))) {
		s->number = *slot;
		return 1;
	}
	s->sum += s->step;
	return 0;
}

/* report notes the key of an entry that is not as it is expected. */
static __always_inline void report(struct header *h, const void *key, __u32 ks)
{
	__u64 n = h->reports++;
	__u64 *to;

	if (n >= h->max_reports)
		return;
	to = at(h, h->reports_at + n * 24);
	if (!to)
		return;
#pragma unroll
	for (__u32 i = 0; i < WORDS(ks); i++)
		to[i] = word(key, ks, i);
}

typedef long prober(__u64 i, struct search *s);

static __always_inline long compare_entry(const void *key, const void *value, struct context *c, prober *probe_one, __u32 ks, __u32 vs)
{
	const __u32 stride = 8 * (WORDS(ks) + WORDS(vs));
	struct header *h = c->h;
	__u64 n = h->next, other = 0, bit, *row, *seen;

	h->visited++;
	row = at(h, h->rows_at + n * stride);
	if (!row || n >= h->rows || !row_has(row, key, ks)) {
		struct search s = { .h = h, .sum = hash(key, ks) };

#pragma unroll
		for (__u32 i = 0; i < WORDS(ks); i++)
			s.key[i] = word(key, ks, i);
		s.step = s.sum >> 32 | 1;
		bpf_loop(PROBES, probe_one, &s, 0);
		if (!s.number) {
			report(h, key, ks);
			return 0;
		}
		n = s.number - 1;
		row = at(h, h->rows_at + n * stride);
	}
	seen = at(h, h->seen_at + n / 64 * 8);
	if (!row || !seen)
		return 1; /* not in an area that the agent laid out */
	h->next = n + 1;
	bit = 1ULL << (n & 63);
	if (*seen & bit)
		h->repeated++;
	*seen |= bit;
#pragma unroll
	for (__u32 i = 0; i < WORDS(vs); i++)
		other |= row[WORDS(ks) + i] ^ word(value, vs, i);
	if (other)
		report(h, key, ks);
	else
		h->matched++;
	return 0;
}

#define COMPARE(map, ks, vs)                                                                        \
	static long probe_##map(__u64 i, struct search *s)                                          \
	{                                                                                           \
		return probe(s, ks, 8 * (WORDS(ks) + WORDS(vs)));                                   \
	}                                                                                           \
	static long one_##map(void *m, const void *key, const void *value, struct context *c)       \
	{                                                                                           \
		return compare_entry(key, value, c, probe_##map, ks, vs);                           \
	}                                                                                           \
	SEC("syscall") int compare_##map(void *ctx)                                                 \
	{                                                                                           \
		struct context c = { .h = header() };                                               \
                                                                                                    \
		if (!c.h)                                                                           \
			return 1;                                                                   \
		return bpf_for_each_map_elem(&map, one_##map, &c, 0) < 0;                           \
	}

COMPARE(cilium_lb4_services_v2, 12, 12)
COMPARE(cilium_lb6_services_v2, 24, 12)
COMPARE(cilium_lb4_backends_v3, 4, 12)
COMPARE(cilium_lb6_backends_v3, 4, 24)
COMPARE(cilium_lb4_reverse_nat, 2, 6)
COMPARE(cilium_lb6_reverse_nat, 2, 18)
COMPARE(cilium_lb_affinity_match, 8, 1)

/* An operation, RECORD bytes. Maps are counted from 0 in the order above. */
struct operation {
	__u32 map_number;
	__u32 remove; /* 0: put */
	__u64 key[3], value[3];
	__u64 unused;
};

/* For their BTF, which a test compares with what the agent writes. No program
 * refers to these, so they are not loaded. */
struct header *header_type __attribute__((unused));
struct operation *operation_type __attribute__((unused));

#define ON(map)                                                                                   \
	(o->remove ? bpf_map_delete_elem(&map, o->key) : bpf_map_update_elem(&map, o->key, o->value, BPF_ANY))

static __always_inline long operate(struct operation *o)
{
	switch (o->map_number) {
	case 0:
		return ON(cilium_lb4_services_v2);
	case 1:
		return ON(cilium_lb6_services_v2);
	case 2:
		return ON(cilium_lb4_backends_v3);
	case 3:
		return ON(cilium_lb6_backends_v3);
	case 4:
		return ON(cilium_lb4_reverse_nat);
	case 5:
		return ON(cilium_lb6_reverse_nat);
	case 6:
		return ON(cilium_lb_affinity_match);
	}
	return -EINVAL;
}

/* An operation that fails is the last one; what is gone already need not go. */
static long write_one(__u64 i, struct context *c)
{
	struct header *h = c->h;
	struct operation *o = at(h, h->rows_at + i * RECORD);
	long err = o ? operate(o) : -EFAULT;

	if (err && !(o && o->remove && err == -ENOENT)) {
		h->failed = -err;
		return 1;
	}
	h->visited = i + 1;
	return 0;
}

SEC("syscall") int write_entries(void *ctx)
{
	struct context c = { .h = header() };

	if (!c.h)
		return 1;
	return bpf_loop(c.h->rows, write_one, &c, 0) < 0;
}

char __license[] SEC("license") = "Dual BSD/GPL";
