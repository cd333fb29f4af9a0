/* See symbols.h. The first of the link's two passes has an empty table; text comes before it, so both agree
 * on addresses. */
#include "arch/x86_64/symbols.h"
#include "arch/x86_64/layout.h"

struct symbol {
	uint32_t address; /* from KERNEL_BASE; ascending */
	uint32_t name;    /* offset in symbol_names */
};

extern const struct symbol symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];

const char *symbols_find(uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high = symbol_count;

	if (address < (uint64_t)kernel_text_start || address >= (uint64_t)kernel_text_end)
		return NULL;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (KERNEL_BASE + symbol_table[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	*offset = address - (KERNEL_BASE + symbol_table[low - 1].address);
	return symbol_names + symbol_table[low - 1].name;
}
