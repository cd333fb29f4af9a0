/*
 * Software walk for instruction fetch. SDM vol. 3A, 4.3 to 4.5 (32-bit, PAE, 4-level and 5-level paging). Rights are not checked:
 * the CPU has just executed there. Each entry is read once.
 */
#include "kernel/fetch.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "kernel/vm.h"
#include "mm/window.h"

#define PTE_PRESENT 1ull
#define PTE_LARGE   (1ull << 7)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull

#define SEGMENT_LONG    (1u << 9) /* L and D/B as in struct hilum_segment */
#define SEGMENT_DEFAULT (1u << 10)

#define SLOT_PAGE (VCPU_FETCH_SLOTS - 1)

enum insn_mode fetch_mode(const struct vcpu_paging *p)
{
	if ((p->efer & EFER_LMA) && (p->cs_attributes & SEGMENT_LONG))
		return INSN_MODE_64;
	return p->cs_attributes & SEGMENT_DEFAULT ? INSN_MODE_32 : INSN_MODE_16;
}

/* `gpa` in its page, through window slot `slot`; NULL if it is not mapped. */
static const uint8_t *fetch_window(struct vcpu *v, unsigned slot, gpa_t gpa)
{
	hpa_t hpa;
	uint64_t page_bytes;

	if (!nested_pt_lookup(&v->vm->npt, gpa, HILUM_MAP_READ, &hpa, &page_bytes))
		return NULL;
	return (const uint8_t *)window_map(v->cpu->arch.id, slot, ALIGN_DOWN(hpa, PAGE_SIZE)) + (hpa & PAGE_MASK);
}

/*
 * All modes: `shift` is that of the top level; a level has 10 bits of 4-byte entries in 32-bit paging, else 9 bits of 8 bytes. PAE's
 * top level is its four-entry table.
 */
static bool walk(struct vcpu *v, const struct vcpu_paging *p, uint64_t table, gva_t va, unsigned shift, gpa_t *out)
{
	bool narrow = shift == 22;
	unsigned bits = narrow ? 10 : 9;

	for (unsigned slot = 0;; slot++, shift -= bits) {
		gpa_t at = table + ((va >> shift & ((1u << bits) - 1)) << (narrow ? 2 : 3));
		const uint64_t *entry = (const uint64_t *)fetch_window(v, slot, at);
		uint64_t offset = (1ull << shift) - 1;
		uint64_t e = 0;
		if (entry != NULL)
			e = narrow ? *(const volatile uint32_t *)entry : __atomic_load_n(entry, __ATOMIC_RELAXED);
		if (!(e & PTE_PRESENT))
			return false;
		v->fetch_memo.entry[slot] = entry;
		v->fetch_memo.value[slot] = e;
		v->fetch_memo.levels = slot + 1;
		table = e & PTE_ADDRESS;
		if (shift == 12 || ((e & PTE_LARGE) && shift <= 30 && (!narrow || p->cr4 & CR4_PSE))) {
			if (narrow && shift == 22)
				table |= (e & 0x1FE000) << 19; /* 36-bit large pages */
			*out = (table & ~offset) | (va & offset);
			return true;
		}
	}
}

/* The page of the last fetch, if the walk would lead there again; NULL if it must be made. */
static const uint8_t *memo_find(const struct vcpu *v, const struct vcpu_paging *p, gva_t page)
{
	const struct vcpu_fetch_memo *m = &v->fetch_memo;
	const struct vcpu_paging *then = &m->paging;

	if (((page ^ m->page) | (p->cr3 ^ then->cr3) | (p->cr0 ^ then->cr0) | (p->cr4 ^ then->cr4) | (p->efer ^ then->efer) |
	     (m->generation ^ v->vm->npt.generation)) != 0)
		return NULL;
	for (unsigned i = 0; i < m->levels; i++)
		if (__atomic_load_n(m->entry[i], __ATOMIC_RELAXED) != m->value[i])
			return NULL;
	return m->code;
}

static bool fetch_translate(struct vcpu *v, const struct vcpu_paging *p, gva_t va, gpa_t *out)
{
	if (!(p->cr0 & CR0_PG)) {
		*out = va;
		return true;
	}
	if (p->efer & EFER_LMA)
		return walk(v, p, p->cr3 & PTE_ADDRESS, va, p->cr4 & CR4_LA57 ? 48 : 39, out);
	if (!(p->cr4 & CR4_PAE))
		return walk(v, p, p->cr3 & 0xFFFFF000, va, 22, out);
	return walk(v, p, p->cr3 & 0xFFFFFFE0, va & 0xFFFFFFFF, 30, out);
}

/* Where the bytes at `va` can be read, and how many of them lie in that page; NULL if nowhere. */
static const uint8_t *fetch_bytes(struct vcpu *v, const struct vcpu_paging *p, gva_t va, unsigned *count)
{
	gva_t page = ALIGN_DOWN(va, PAGE_SIZE);
	uint64_t in_page = PAGE_SIZE - (va & PAGE_MASK);
	const uint8_t *code = memo_find(v, p, page);
	gpa_t gpa;

	*count = in_page < INSN_MAX_BYTES ? (unsigned)in_page : INSN_MAX_BYTES;
	if (likely(code != NULL))
		return code + (va & PAGE_MASK);
	fetch_forget(v);
	v->fetch_memo.levels = 0;
	v->fetch_memo.generation = v->vm->npt.generation; /* before the look-ups: a later one makes them out of date */
	if (!fetch_translate(v, p, va, &gpa))
		return NULL;
	code = fetch_window(v, SLOT_PAGE, ALIGN_DOWN(gpa, PAGE_SIZE));
	if (code == NULL)
		return NULL;
	v->fetch_memo.paging = *p;
	v->fetch_memo.code = code;
	if (!(p->cr0 & CR0_PG) || (p->cr4 & CR4_PAE)) /* two-level tables have 32-bit entries: not remembered */
		v->fetch_memo.page = page;
	return code + (va & PAGE_MASK);
}

static gva_t fetch_address(const struct vcpu *v, const struct vcpu_paging *p, enum insn_mode mode)
{
	return mode == INSN_MODE_64 ? v->rip : (p->cs_base + (uint32_t)v->rip) & 0xFFFFFFFF;
}

unsigned fetch_instruction(struct vcpu *v, uint8_t bytes[INSN_MAX_BYTES])
{
	const struct vcpu_paging *p = vcpu_paging(v);
	gva_t va = fetch_address(v, p, fetch_mode(p));
	unsigned done = 0;

	while (done < INSN_MAX_BYTES) {
		unsigned count;
		const uint8_t *at = fetch_bytes(v, p, va + done, &count);
		if (at == NULL)
			break;
		if (count > INSN_MAX_BYTES - done)
			count = INSN_MAX_BYTES - done;
		memcpy(bytes + done, at, count);
		done += count;
	}
	return done;
}

unsigned fetch_insn_length(struct vcpu *v)
{
	const struct vcpu_paging *p = vcpu_paging(v);
	enum insn_mode mode = fetch_mode(p);
	gva_t va = fetch_address(v, p, mode);
	const uint8_t *code = memo_find(v, p, ALIGN_DOWN(va, PAGE_SIZE));
	uint64_t offset = va & PAGE_MASK;

	if (likely(code != NULL && offset <= PAGE_SIZE - INSN_MAX_BYTES))
		return insn_length(code + offset, INSN_MAX_BYTES, mode); /* may change under us: only the guest's RIP depends on it */
	uint8_t bytes[INSN_MAX_BYTES];
	unsigned count = fetch_instruction(v, bytes);
	return insn_length(bytes, count, mode);
}
