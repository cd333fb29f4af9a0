/*
 * Frame table and buddy allocator. Each step touches heads only: splitting makes one entry a head, merging
 * makes one a tail, so that a block of 1 GiB costs no more than one of 4 KiB. Never touches frame contents.
 * Takes frame_lock (rank FRAME) in every public function.
 */
#include "mm/frame.h"

#include "arch/x86_64/layout.h"
#include "arch/x86_64/spinlock.h"

#define GIB_SHIFT 30u
#define GIB_COUNT (FRAME_HPA_LIMIT >> GIB_SHIFT)

#define SEARCH_MAX 64u /* blocks that are passed over */

struct zone {
	uint32_t first[FRAME_ORDER_MAX + 1]; /* heads of the free lists, 0: empty */
	uint32_t blocks[FRAME_ORDER_MAX + 1];
	uint32_t nonempty; /* bit n: first[n] != 0 */
	uint8_t type;      /* of its free blocks */
	uint8_t order_max;
};

/* All below, and the table itself, are covered by frame_lock; has_gib and frame_total are constant after
 * frame_init. */
static struct spinlock frame_lock = SPINLOCK_INIT(LOCK_RANK_FRAME);
static struct zone general = { .type = FRAME_FREE, .order_max = FRAME_ORDER_MAX };
static struct zone pool = { .type = FRAME_POOL_FREE, .order_max = FRAME_ORDER_2M };
static uint64_t counts[FRAME_TYPE_COUNT];
static uint64_t has_gib[GIB_COUNT / 64];
static uint64_t saved;
uint64_t frame_total;

/*
 * What the proofs know of the table and the lists. The table lies at one address, and has entries for whole GiBs; a free block's neighbours
 * in its list are free blocks of its zone and order, and point back at it. `a <= b <= a` is a == b that
 * provers do not put in place of each other at once: from a neighbour's neighbour they would go on without end. The axioms give names to
 * addresses, which patterns of provers find, as they do not find sums.
 */
/*@ axiomatic frame_table {
  @   logic struct frame *frame_at(integer number);
  @   axiom frame_at_is: \forall integer n; 0 <= n ==> frame_at(n) == (struct frame *)FRAME_TABLE_BASE + n;
  @   axiom frames_are_apart: \forall integer n, m; n != m ==> \separated(frame_at(n), frame_at(m));
  @   logic uint32_t *first_at(struct zone *z, integer order);
  @   axiom first_at_is: \forall struct zone *z, integer o; 0 <= o <= FRAME_ORDER_MAX ==> first_at(z, o) == &z->first[o];
  @ }
  @ predicate frame_exists(integer number) = 0 <= number <= UINT32_MAX && \valid(frame_at(number));
  @ predicate frame_is_free(struct zone *z, integer number, integer order) =
  @   frame_exists(number) && frame_at(number)->type == z->type && frame_at(number)->order == order;
  @ predicate zone_is_apart(struct zone *z) =
  @   \valid(z) && z->type >= FRAME_FREE && z->type <= FRAME_POOL_FREE && \forall integer n; \separated(z, frame_at(n));
  @ predicate list_heads(struct zone *z, integer but) = \forall integer o, m;
  @   0 <= o <= FRAME_ORDER_MAX && m != 0 && m <= *first_at(z, o) <= m ==> frame_is_free(z, m, o) && frame_at(m)->prev == 0 && m != but;
  @ predicate list_orders(struct zone *z, integer but) = \forall integer n;
  @   frame_exists(n) && n != but && frame_at(n)->type == z->type ==> n != 0 && 0 <= frame_at(n)->order <= FRAME_ORDER_MAX;
  @ predicate list_nexts(struct zone *z, integer but) = \forall integer n, m;
  @   frame_exists(n) && n != but && frame_at(n)->type == z->type && m != 0 && m <= frame_at(n)->next <= m ==>
  @     frame_is_free(z, m, frame_at(n)->order) && frame_at(m)->prev == n && m != but;
  @ predicate list_prevs(struct zone *z, integer but) = \forall integer n, m;
  @   frame_exists(n) && n != but && frame_at(n)->type == z->type && m != 0 && m <= frame_at(n)->prev <= m ==>
  @     frame_is_free(z, m, frame_at(n)->order) && frame_at(m)->next == n && m != but;
  @ predicate list_firsts(struct zone *z, integer but) = \forall integer n, o;
  @   frame_exists(n) && n != but && frame_at(n)->type == z->type && frame_at(n)->prev == 0 && o <= frame_at(n)->order <= o ==>
  @     *first_at(z, o) == n;
  @ predicate list_is_whole(struct zone *z, integer but) =
  @   list_heads(z, but) && list_orders(z, but) && list_nexts(z, but) && list_prevs(z, but) && list_firsts(z, but);
  @*/

/* What adding a block to its list changes, and taking one out; and that the lists are whole after it if they were before. */
/*@ predicate frame_is_kept{L1, L2}(integer n) =
  @   \at(frame_at(n)->type, L1) == \at(frame_at(n)->type, L2) && \at(frame_at(n)->order, L1) == \at(frame_at(n)->order, L2);
  @ predicate zone_is_kept{L1, L2}(struct zone *z, integer order) = \at(z->type, L1) == \at(z->type, L2) &&
  @   \forall integer o; 0 <= o <= FRAME_ORDER_MAX && o != order ==> \at(*first_at(z, o), L1) == \at(*first_at(z, o), L2);
  @ predicate list_is_pushed{L1, L2}(struct zone *z, integer number, integer order) =
  @   zone_is_kept{L1, L2}(z, order) && \at(*first_at(z, order), L2) == number && frame_is_free{L2}(z, number, order) &&
  @   \at(frame_at(number)->prev, L2) == 0 && \at(frame_at(number)->next, L2) == \at(*first_at(z, order), L1) &&
  @   \forall integer n; 0 <= n <= UINT32_MAX ==> (frame_exists{L1}(n) <==> frame_exists{L2}(n)) && (n != number ==>
  @     frame_is_kept{L1, L2}(n) && \at(frame_at(n)->next, L1) == \at(frame_at(n)->next, L2) && \at(frame_at(n)->prev, L2) ==
  @       (n != 0 && n == \at(*first_at(z, order), L1) ? number : \at(frame_at(n)->prev, L1)));
  @ predicate list_is_removed{L1, L2}(struct zone *z, integer number, integer order) =
  @   zone_is_kept{L1, L2}(z, order) && \at(*first_at(z, order), L2) ==
  @     (\at(frame_at(number)->prev, L1) == 0 ? \at(frame_at(number)->next, L1) : \at(*first_at(z, order), L1)) &&
  @   \forall integer n; 0 <= n <= UINT32_MAX ==>
  @     (frame_exists{L1}(n) <==> frame_exists{L2}(n)) && frame_is_kept{L1, L2}(n) && \at(frame_at(n)->next, L2) ==
  @       (n != 0 && n == \at(frame_at(number)->prev, L1) ? \at(frame_at(number)->next, L1) : \at(frame_at(n)->next, L1)) &&
  @     \at(frame_at(n)->prev, L2) ==
  @       (n != 0 && n == \at(frame_at(number)->next, L1) ? \at(frame_at(number)->prev, L1) : \at(frame_at(n)->prev, L1));
  @ lemma pushed_heads{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_pushed{L1, L2}(z, number, order) && 0 < number && 0 <= order <= FRAME_ORDER_MAX && list_is_whole{L1}(z, number) ==>
  @   list_heads{L2}(z, -1);
  @ lemma pushed_orders{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_pushed{L1, L2}(z, number, order) && 0 < number && 0 <= order <= FRAME_ORDER_MAX && list_is_whole{L1}(z, number) ==>
  @   list_orders{L2}(z, -1);
  @ lemma pushed_nexts{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_pushed{L1, L2}(z, number, order) && 0 < number && 0 <= order <= FRAME_ORDER_MAX && list_is_whole{L1}(z, number) ==>
  @   list_nexts{L2}(z, -1);
  @ lemma pushed_prevs{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_pushed{L1, L2}(z, number, order) && 0 < number && 0 <= order <= FRAME_ORDER_MAX && list_is_whole{L1}(z, number) ==>
  @   list_prevs{L2}(z, -1);
  @ lemma pushed_firsts{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_pushed{L1, L2}(z, number, order) && 0 < number && 0 <= order <= FRAME_ORDER_MAX && list_is_whole{L1}(z, number) ==>
  @   list_firsts{L2}(z, -1);
  @ lemma removed_heads{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_removed{L1, L2}(z, number, order) && frame_is_free{L1}(z, number, order) && list_is_whole{L1}(z, -1) ==>
  @   list_heads{L2}(z, number);
  @ lemma removed_orders{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_removed{L1, L2}(z, number, order) && frame_is_free{L1}(z, number, order) && list_is_whole{L1}(z, -1) ==>
  @   list_orders{L2}(z, number);
  @ lemma removed_nexts{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_removed{L1, L2}(z, number, order) && frame_is_free{L1}(z, number, order) &&
  @   list_nexts{L1}(z, -1) && list_prevs{L1}(z, -1) && list_orders{L1}(z, -1) ==>
  @   list_nexts{L2}(z, number);
  @ lemma removed_prevs{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_removed{L1, L2}(z, number, order) && frame_is_free{L1}(z, number, order) &&
  @   list_nexts{L1}(z, -1) && list_prevs{L1}(z, -1) && list_orders{L1}(z, -1) ==>
  @   list_prevs{L2}(z, number);
  @ lemma removed_firsts{L1, L2}: \forall struct zone *z, integer number, order;
  @   list_is_removed{L1, L2}(z, number, order) && frame_is_free{L1}(z, number, order) &&
  @   list_firsts{L1}(z, -1) && list_nexts{L1}(z, -1) && list_orders{L1}(z, -1) ==>
  @   list_firsts{L2}(z, number);
  @*/

/*@ assigns \nothing;
  @ ensures \result == frame_at(number);
  @*/
static inline struct frame *entry(uint32_t number)
{
	return (struct frame *)FRAME_TABLE_BASE + number;
}

/*@ assigns \nothing;
  @ ensures \result == frame_at((uint32_t)(hpa >> PAGE_SHIFT));
  @*/
struct frame *frame_entry(hpa_t hpa)
{
	return entry((uint32_t)(hpa >> PAGE_SHIFT));
}

/*@ assigns \nothing;
  @ ensures \result ==> hpa < FRAME_HPA_LIMIT;
  @*/
bool frame_has_gib(hpa_t hpa)
{
	return hpa < FRAME_HPA_LIMIT && (has_gib[hpa / (64ull << GIB_SHIFT)] >> (hpa / (1ull << GIB_SHIFT) % 64) & 1);
}

/* ---- Free lists ---- */

/*@ requires zone_is_apart(z) && order <= FRAME_ORDER_MAX && frame_exists(number) && number != 0 && list_is_whole(z, number);
  @ requires z->first[order] != 0 ==> frame_is_free(z, z->first[order], order);
  @ assigns *frame_at(number), frame_at(z->first[order])->prev, z->first[order], z->blocks[order], z->nonempty;
  @ ensures frame_is_free(z, number, order) && z->first[order] == number;
  @ ensures heads: list_heads(z, -1);
  @ ensures orders: list_orders(z, -1);
  @ ensures nexts: list_nexts(z, -1);
  @ ensures prevs: list_prevs(z, -1);
  @ ensures firsts: list_firsts(z, -1);
  @*/
static void list_push(struct zone *z, uint32_t number, unsigned order)
{
	uint32_t next = z->first[order];

	*entry(number) = (struct frame){ .next = next, .type = z->type, .order = (uint8_t)order };
	if (next)
		entry(next)->prev = number;
	z->first[order] = number;
	z->blocks[order]++;
	z->nonempty |= 1u << order;
	//@ assert pushed: list_is_pushed{Pre, Here}(z, number, order);
}

/*@ requires zone_is_apart(z) && order <= FRAME_ORDER_MAX && list_is_whole(z, -1) && frame_is_free(z, number, order);
  @ assigns frame_at(frame_at(number)->next)->prev, frame_at(frame_at(number)->prev)->next, z->first[order], z->blocks[order], z->nonempty;
  @ ensures heads: list_heads(z, number);
  @ ensures orders: list_orders(z, number);
  @ ensures nexts: list_nexts(z, number);
  @ ensures prevs: list_prevs(z, number);
  @ ensures firsts: list_firsts(z, number);
  @ ensures frame_is_free(z, number, order);
  @*/
static void list_remove(struct zone *z, uint32_t number, unsigned order)
{
	struct frame *f = entry(number);

	if (f->next)
		entry(f->next)->prev = f->prev;
	if (f->prev)
		entry(f->prev)->next = f->next;
	else
		z->first[order] = f->next;
	z->blocks[order]--;
	if (!z->first[order])
		z->nonempty &= ~(1u << order);
	//@ assert removed: list_is_removed{Pre, Here}(z, number, order);
}

/* Whether the block at `number` is free in z with exactly this order, so that its buddy can merge with it. */
/*@ requires \valid_read(z) && frame_exists(number);
  @ assigns \nothing;
  @ ensures \result <==> frame_is_free(z, number, order);
  @*/
static bool is_free_block(const struct zone *z, uint32_t number, unsigned order)
{
	const struct frame *f = entry(number);

	return f->type == z->type && f->order == order;
}

static void block_release(struct zone *z, uint32_t number, unsigned order)
{
	counts[z->type] += 1ull << order;
	while (order < z->order_max) {
		uint32_t buddy = number ^ 1u << order;

		if (!is_free_block(z, buddy, order))
			break;
		list_remove(z, buddy, order);
		entry(number | buddy)->type = FRAME_TAIL;
		number &= buddy;
		order++;
	}
	list_push(z, number, order);
}

/* A free block of exactly this order outside the range, among the first of the list: what is split because none of them will do comes
 * first in the next search. 0: none. */
/*@ requires zone_is_apart(z) && order <= FRAME_ORDER_MAX && list_is_whole(z, -1) && (range & PAGE_MASK) < 64 - PAGE_SHIFT;
  @ assigns \nothing;
  @ ensures \result != 0 ==> frame_is_free(z, \result, order);
  @*/
static uint32_t block_find(const struct zone *z, unsigned order, uint64_t range)
{
	//@ assert first_at(z, order) == &z->first[order];
	uint32_t number = z->first[order];

	/*@ loop invariant number != 0 ==> frame_is_free(z, number, order);
	  @ loop invariant tries <= SEARCH_MAX + 1 && (tries > SEARCH_MAX ==> number == 0);
	  @ loop assigns number, tries;
	  @ loop variant SEARCH_MAX + 1 - tries;
	  @*/
	for (unsigned tries = 0; number && frame_in_range((hpa_t)number << PAGE_SHIFT, range); tries++)
		number = tries < SEARCH_MAX ? entry(number)->next : 0;
	return number;
}

/* Splits the smallest block that is large enough, so that large ones survive. 0: none. */
static uint32_t block_take(struct zone *z, unsigned order, uint64_t range)
{
	unsigned from = order;
	uint32_t number;

	while (!(number = block_find(z, from, range)))
		if (++from > z->order_max)
			return 0;
	list_remove(z, number, from);
	while (from > order) {
		from--;
		list_push(z, number | 1u << from, from);
	}
	counts[z->type] -= 1ull << order;
	return number;
}

/* ---- Blocks in use ---- */

/*@ requires frame_exists(number) && order <= FRAME_ORDER_MAX && 0 <= type < FRAME_TYPE_COUNT;
  @ requires \separated(frame_at(number), &counts[0 .. FRAME_TYPE_COUNT - 1]);
  @ assigns *frame_at(number), counts[type];
  @ ensures frame_at(number)->type == type && frame_at(number)->order == order && frame_at(number)->owner == owner;
  @ ensures frame_at(number)->refs == 1;
  @*/
static void block_claim(uint32_t number, unsigned order, enum frame_type type, uint32_t owner)
{
	*entry(number) = (struct frame){ .owner = owner, .refs = 1, .type = (uint8_t)type, .order = (uint8_t)order };
	counts[type] += 1ull << order;
}

enum status frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out)
{
	struct zone *z = type == FRAME_POOL ? &pool : &general;

	assert(order <= z->order_max && type > FRAME_POOL_FREE && type < FRAME_TYPE_COUNT);
	spin_lock(&frame_lock);
	uint32_t number = block_take(z, order, range);

	if (number)
		block_claim(number, order, type, owner);
	spin_unlock(&frame_lock);
	if (!number)
		return STATUS_NO_MEMORY;
	*out = (hpa_t)number << PAGE_SHIFT;
	return STATUS_OK;
}

/* The entry's type must change before the lock is given back: no block may be freed twice. */
static void zone_free(struct zone *z, hpa_t hpa, unsigned order, enum frame_type type, uint32_t owner)
{
	uint32_t number = (uint32_t)(hpa >> PAGE_SHIFT);

	assert(frame_has_gib(hpa) && order <= z->order_max);
	spin_lock(&frame_lock);
	const struct frame *f = entry(number);

	assert(f->type == type && f->order == order && f->owner == owner && f->refs == 1);
	counts[type] -= 1ull << order;
	block_release(z, number, order);
	spin_unlock(&frame_lock);
}

void frame_free(hpa_t hpa, unsigned order, enum frame_type type, uint32_t owner)
{
	zone_free(type == FRAME_POOL ? &pool : &general, hpa, order, type, owner);
}

void frame_pool_donate(hpa_t hpa, unsigned order)
{
	zone_free(&pool, hpa, order, FRAME_KERNEL, FRAME_OWNER_KERNEL);
}

struct frame *frame_lookup(hpa_t hpa, hpa_t *head)
{
	uint32_t number = (uint32_t)(hpa >> PAGE_SHIFT);
	struct frame *f = NULL;

	if (!frame_has_gib(hpa))
		return NULL;
	spin_lock(&frame_lock);
	for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
		number = number >> order << order;
		f = entry(number);
		if (f->type != FRAME_TAIL && f->order >= order)
			break;
	}
	spin_unlock(&frame_lock);
	if (head)
		*head = (hpa_t)number << PAGE_SHIFT;
	return f->type == FRAME_ABSENT ? NULL : f;
}

void frame_add_refs(hpa_t hpa, int step)
{
	struct frame *f = frame_entry(hpa);

	spin_lock(&frame_lock);
	assert(f->type > FRAME_POOL_FREE && f->refs + step > 0 && f->refs + step <= (int)UINT16_MAX);
	f->refs = (uint16_t)(f->refs + step);
	saved += f->type == FRAME_GUEST ? (uint64_t)step : 0;
	spin_unlock(&frame_lock);
}

void frame_get_figures(hpa_t base, uint64_t bytes, struct hilum_frames *out)
{
	*out = (struct hilum_frames){ .saved = saved };
	for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++)
		out->free[order] = general.blocks[order];
	for (hpa_t at = base, next; at < base + bytes; at = next) {
		const struct frame *f = frame_lookup(at, NULL);
		uint64_t size = f ? PAGE_SIZE << f->order : PAGE_SIZE;

		next = ALIGN_DOWN(at, size) + size < base + bytes ? ALIGN_DOWN(at, size) + size : base + bytes;
		if (f)
			*(f->type == FRAME_FREE ? &out->range_free
			  : f->owner == FRAME_OWNER_MOVES && f->refs == 1 && f->order <= FRAME_ORDER_2M
			          ? &out->range_guest
			          : &out->range_other) += (next - at) >> PAGE_SHIFT;
	}
}

uint64_t frame_count(enum frame_type type)
{
	return __atomic_load_n(&counts[type], __ATOMIC_RELAXED);
}

/* ---- Start ---- */

/* The type that the frames of a boot range get; FRAME_ABSENT: they stay out of the table. */
static enum frame_type type_of_range(const struct boot_range *r)
{
	static const uint8_t types[BOOT_RANGE_RESERVED + 1] = {
		[BOOT_RANGE_FREE] = FRAME_FREE, [BOOT_RANGE_MODULE] = FRAME_MODULE, [BOOT_RANGE_KERNEL] = FRAME_KERNEL
	};

	return r->base < FRAME_HPA_LIMIT ? (enum frame_type)types[r->type] : FRAME_ABSENT;
}

/*@ requires \valid_read(r) && r->base + r->bytes <= UINT64_MAX;
  @ assigns \nothing;
  @ ensures \result <= FRAME_HPA_LIMIT && \result <= r->base + r->bytes;
  @ ensures r->base < FRAME_HPA_LIMIT ==> r->base <= \result;
  @*/
static hpa_t range_end(const struct boot_range *r)
{
	hpa_t end = r->base + r->bytes;

	return end < FRAME_HPA_LIMIT ? end : FRAME_HPA_LIMIT;
}

uint64_t frame_note_ranges(const struct boot_info *info)
{
	uint64_t gibs = 0;

	for (uint32_t i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->ranges[i];

		if (type_of_range(r) == FRAME_ABSENT)
			continue;
		for (uint64_t g = r->base >> GIB_SHIFT; g <= (range_end(r) - 1) >> GIB_SHIFT; g++) {
			gibs += !frame_has_gib(g << GIB_SHIFT);
			has_gib[g >> 6] |= 1ull << (g & 63);
		}
	}
	return gibs;
}

/* Cuts [base, end) into naturally aligned blocks and gives each its state; KERNEL ranges into single frames
 * (frame_pool_donate). */
static void add_range(hpa_t base, hpa_t end, enum frame_type type)
{
	uint32_t number = (uint32_t)(base >> PAGE_SHIFT), stop = (uint32_t)(end >> PAGE_SHIFT);

	for (uint32_t n = number; n < stop; n++)
		entry(n)->type = FRAME_TAIL;
	frame_total += stop - number;
	while (number < stop) {
		unsigned order = type == FRAME_KERNEL ? 0 : (unsigned)__builtin_ctz(number | 1u << FRAME_ORDER_MAX);

		while (number + (1u << order) > stop)
			order--;
		if (type == FRAME_FREE)
			block_release(&general, number, order);
		else
			block_claim(number, order, type, FRAME_OWNER_KERNEL);
		number += 1u << order;
	}
}

void frame_init(const struct boot_info *info)
{
	for (uint32_t i = 0; i < info->range_count; i++) {
		enum frame_type type = type_of_range(&info->ranges[i]);

		if (type != FRAME_ABSENT)
			add_range(info->ranges[i].base, range_end(&info->ranges[i]), type);
	}
}
