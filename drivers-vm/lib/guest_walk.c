/* See guest_walk.h. Must never use an entry that it has not read in this walk, nor read one twice. */
#include "drivers-vm/lib/guest_walk.h"

#define ENTRY_P  (1ull << 0)
#define ENTRY_RW (1ull << 1)
#define ENTRY_US (1ull << 2)
#define ENTRY_A  (1ull << 5)
#define ENTRY_D  (1ull << 6)
#define ENTRY_PS (1ull << 7)
#define ENTRY_NX (1ull << 63)

#define ADDRESS_MASK     0x000FFFFFFFFFF000ull
#define PAGE_BYTES       4096ull
#define LEVELS_MAX       5
#define ATTEMPTS_MAX     8
#define PAE_PDPTE_UNUSED 0x1E6ull /* bits 2:1 and 8:5 of a PAE page-directory-pointer entry are reserved */

/* The shape of a table walk: what the paging mode fixes. */
struct walk_mode {
	unsigned levels;      /* the top table is of this level; level 1 maps 4 KiB */
	unsigned entry_bytes; /* 4 or 8 */
	unsigned index_bits;  /* of each level but a PAE top table's */
	uint64_t root;        /* gpa of the top table */
	uint64_t reserved;    /* bits that must be zero in every entry */
	bool pae;             /* three levels: entries at the top have no rights */
};

struct walk_state {
	uint64_t entry[LEVELS_MAX + 1]; /* by level, as read */
	uint64_t entry_gpa[LEVELS_MAX + 1];
	unsigned leaf;     /* level of the leaf */
	uint64_t rights;   /* RW and US of all levels anded, NX of all levels ored */
	uint64_t accessed; /* A of all levels anded */
};

static uint64_t bits_from(unsigned low, unsigned high_exclusive)
{
	return ((1ull << high_exclusive) - 1) & ~((1ull << low) - 1);
}

static struct walk_mode mode_of(const struct guest_paging *paging)
{
	struct walk_mode mode = { .entry_bytes = 8, .index_bits = 9 };

	mode.reserved = bits_from(paging->physical_bits, 52);
	if (!(paging->efer & EFER_NXE))
		mode.reserved |= ENTRY_NX;
	if (paging->efer & EFER_LMA) {
		mode.levels = paging->cr4 & CR4_LA57 ? 5 : 4;
		mode.root = paging->cr3 & ADDRESS_MASK;
	} else if (paging->cr4 & CR4_PAE) {
		mode.levels = 3;
		mode.pae = true;
		mode.root = paging->cr3 & 0xFFFFFFE0ull;
		mode.reserved |= bits_from(52, 63);
	} else {
		mode.levels = 2;
		mode.entry_bytes = 4;
		mode.index_bits = 10;
		mode.root = paging->cr3 & 0xFFFFF000ull;
		mode.reserved = 0;
	}
	return mode;
}

/* Bits below which an address is an offset into a page of `level`. */
static unsigned level_shift(const struct walk_mode *mode, unsigned level)
{
	return 12 + (level - 1) * mode->index_bits;
}

static bool entry_is_leaf(const struct guest_paging *paging, const struct walk_mode *mode, unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & ENTRY_PS) || level > 3 || (level == 3 && (mode->pae || !paging->has_1g_pages)))
		return false;
	return mode->entry_bytes == 8 || (paging->cr4 & CR4_PSE);
}

static bool entry_has_reserved(const struct guest_paging *paging, const struct walk_mode *mode, unsigned level, uint64_t entry, bool leaf)
{
	if (mode->entry_bytes == 4) {
		uint64_t high = paging->physical_bits < 40 ? bits_from(paging->physical_bits - 19, 21) : 0;

		/* PSE-36: bits 20:13 hold address bits 39:32, bit 21 is reserved */
		return leaf && level == 2 && (entry & (high | 1ull << 21));
	}
	if (entry & mode->reserved)
		return true;
	if (mode->pae && level == 3)
		return entry & (PAE_PDPTE_UNUSED | ENTRY_NX);
	if (leaf && level > 1)
		return entry & bits_from(13, level_shift(mode, level));
	return !leaf && level >= 3 && (entry & ENTRY_PS);
}

static uint64_t leaf_base(const struct walk_mode *mode, unsigned level, uint64_t entry)
{
	if (mode->entry_bytes == 4 && level == 2)
		return (entry & 0xFFC00000ull) | (entry & bits_from(13, 21)) << 19;
	return entry & ADDRESS_MASK & ~bits_from(0, level_shift(mode, level));
}

/* Checks an entry that may be more than a present pointer to the next table. */
static enum guest_walk_result check_entry(const struct guest_paging *paging, const struct walk_mode *mode, unsigned level, uint64_t entry,
                                          unsigned *leaf, uint32_t *error)
{
	*error = 0;
	if (!(entry & ENTRY_P))
		return GUEST_WALK_FAULT;
	*leaf = entry_is_leaf(paging, mode, level, entry) ? level : 0;
	*error = PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED;
	return entry_has_reserved(paging, mode, level, entry, *leaf != 0) ? GUEST_WALK_FAULT : GUEST_WALK_OK;
}

/* Reads the entries down to the leaf. On FAULT `*error` holds the present and reserved bits. */
static enum guest_walk_result read_entries(const struct guest_paging *paging, const struct walk_mode *mode,
                                           const struct guest_walk_memory *memory, uint64_t gva, struct walk_state *walk, uint32_t *error)
{
	const uint64_t special = ENTRY_P | ENTRY_PS | mode->reserved;
	unsigned entry_shift = mode->entry_bytes == 8 ? 3 : 2;
	uint64_t table = mode->root, entry;

	walk->rights = ENTRY_RW | ENTRY_US;
	walk->accessed = ENTRY_A;
	walk->leaf = 0;
	for (unsigned level = mode->levels; !walk->leaf; level--) {
		uint64_t index = gva >> level_shift(mode, level) & bits_from(0, mode->index_bits);
		bool pae_top = mode->pae && level == 3;

		if (pae_top)
			index &= 3;
		walk->entry_gpa[level] = table + (index << entry_shift);
		if (!memory->read(memory->opaque, walk->entry_gpa[level], mode->entry_bytes, &entry))
			return GUEST_WALK_NO_RAM;
		walk->entry[level] = entry;
		if ((entry & special) != ENTRY_P || level == 1 || pae_top) {
			enum guest_walk_result result = check_entry(paging, mode, level, entry, &walk->leaf, error);

			if (result != GUEST_WALK_OK)
				return result;
		}
		if (!pae_top) {
			walk->rights &= entry | ~(ENTRY_RW | ENTRY_US);
			walk->rights |= entry & ENTRY_NX;
			walk->accessed &= entry;
		}
		table = entry & ADDRESS_MASK;
	}
	return GUEST_WALK_OK;
}

/* SDM vol. 3A, "Determination of Access Rights". */
static bool access_allowed(const struct guest_paging *paging, uint64_t rights, unsigned access)
{
	bool user_page = rights & ENTRY_US;

	if ((access & GUEST_ACCESS_FETCH) && (rights & ENTRY_NX))
		return false;
	if (access & GUEST_ACCESS_USER)
		return user_page && (!(access & GUEST_ACCESS_WRITE) || (rights & ENTRY_RW));
	if (user_page && (access & GUEST_ACCESS_FETCH) && (paging->cr4 & CR4_SMEP))
		return false;
	if (user_page && !(access & GUEST_ACCESS_FETCH) && (paging->cr4 & CR4_SMAP) &&
	    ((access & GUEST_ACCESS_IMPLICIT) || !(paging->rflags & RFLAGS_AC)))
		return false;
	return !(access & GUEST_ACCESS_WRITE) || (rights & ENTRY_RW) || !(paging->cr0 & CR0_WP);
}

/* The fetch bit is reported only where fetches have rights of
 * their own. */
uint32_t guest_walk_error_bits(const struct guest_paging *paging, unsigned access)
{
	bool fetch_rights = (paging->cr4 & CR4_SMEP) || ((paging->cr4 & CR4_PAE) && (paging->efer & EFER_NXE));

	return (access & GUEST_ACCESS_WRITE ? PAGE_FAULT_WRITE : 0) | (access & GUEST_ACCESS_USER ? PAGE_FAULT_USER : 0) |
	       ((access & GUEST_ACCESS_FETCH) && fetch_rights ? PAGE_FAULT_FETCH : 0);
}

/* Sets A on the path and D on a written leaf. False if the guest changed an entry meanwhile. */
static bool mark_entries(const struct walk_mode *mode, const struct guest_walk_memory *memory, const struct walk_state *walk,
                         unsigned access)
{
	bool dirty = !(access & GUEST_ACCESS_WRITE) || (walk->entry[walk->leaf] & ENTRY_D);

	if (walk->accessed && dirty)
		return true;
	for (unsigned level = mode->levels; level >= walk->leaf; level--) {
		uint64_t entry = walk->entry[level], marked = entry | ENTRY_A;

		if (mode->pae && level == 3)
			continue;
		if (level == walk->leaf && (access & GUEST_ACCESS_WRITE))
			marked |= ENTRY_D;
		if (marked != entry && !memory->compare_exchange(memory->opaque, walk->entry_gpa[level], mode->entry_bytes, entry, marked))
			return false;
	}
	return true;
}

enum guest_walk_result guest_walk(const struct guest_paging *paging, const struct guest_walk_memory *memory, uint64_t gva, unsigned access,
                                  struct guest_walk_output *out)
{
	struct walk_mode mode;

	if (!(paging->efer & EFER_LMA))
		gva &= 0xFFFFFFFFull;
	if (!(paging->cr0 & CR0_PG)) {
		*out = (struct guest_walk_output){ .gpa = gva, .page_bytes = PAGE_BYTES };
		return GUEST_WALK_OK;
	}
	mode = mode_of(paging);
	for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		struct walk_state walk;
		uint32_t error = 0;
		uint64_t offset_mask;
		enum guest_walk_result result = read_entries(paging, &mode, memory, gva, &walk, &error);

		if (result == GUEST_WALK_OK && !access_allowed(paging, walk.rights, access)) {
			error = PAGE_FAULT_PRESENT;
			result = GUEST_WALK_FAULT;
		}
		if (result == GUEST_WALK_FAULT)
			out->error_code = error | guest_walk_error_bits(paging, access);
		if (result != GUEST_WALK_OK)
			return result;
		if (!mark_entries(&mode, memory, &walk, access))
			continue;
		offset_mask = bits_from(0, level_shift(&mode, walk.leaf));
		out->gpa = leaf_base(&mode, walk.leaf, walk.entry[walk.leaf]) | (gva & offset_mask);
		out->page_bytes = offset_mask + 1;
		return GUEST_WALK_OK;
	}
	return GUEST_WALK_RETRY;
}
