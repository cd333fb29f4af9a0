/*
 * Windows: each core writes its own entries only, so neither lock nor shoot-down is needed. The tables exist
 * since boot. Must never leave a window open that window_clear does not know.
 */
#include "mm/window.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "mm/entry.h"
#include "mm/host_pt.h"

struct window_core window_cores[CPU_MAX];

static uint64_t slot_address(cpu_id_t cpu, unsigned slot)
{
	return WINDOW_BASE + cpu * WINDOW_CORE_BYTES + slot * PAGE_SIZE;
}

void *window_show(struct window_core *w, cpu_id_t cpu, unsigned slot, hpa_t frame)
{
	uint64_t va = slot_address(cpu, slot);

	assert(slot < WINDOW_SLOTS && frame && !(frame & PAGE_MASK));
	entry_write(&w->entry[slot], frame | HOST_PT_LEAF | HOST_PT_WRITE | HOST_PT_NO_EXECUTE);
	cpu_invlpg(va);
	w->shown[slot] = frame;
	w->used |= 1u << slot;
	return (void *)va;
}

void window_clear_used(cpu_id_t cpu)
{
	struct window_core *w = &window_cores[cpu];

	while (w->used) {
		unsigned slot = (unsigned)__builtin_ctz(w->used);

		entry_write(&w->entry[slot], 0);
		cpu_invlpg(slot_address(cpu, slot));
		w->shown[slot] = 0;
		w->used &= w->used - 1;
	}
}

void window_zero_frames(hpa_t hpa, unsigned order)
{
	cpu_id_t cpu = cpu_arch_self()->id;

	for (uint64_t i = 0; i < 1ull << order; i++)
		memset(window_show(&window_cores[cpu], cpu, WINDOW_SLOT_ZERO, hpa + i * PAGE_SIZE), 0, PAGE_SIZE);
}

bool window_init(void)
{
	for (cpu_id_t cpu = 0; cpu < CPU_MAX; cpu++) {
		struct window_core *w = &window_cores[cpu];

		w->entry = host_pt_entry(slot_address(cpu, 0), 1);
		if (!w->entry)
			return false;
	}
	return true;
}
