/* Which physical addresses are device registers that a VM may have: see frame.h. The list is written at boot only: no lock. */
#include "mm/frame.h"

#define GIB        (1ull << 30)
#define CLAIMS_MAX 64u
#define MSI_FIRST  0xFEE00000ull /* local APICs, and what devices write to interrupt: SDM vol. 3A, 11.11.1 */
#define MSI_LAST   0xFEEFFFFFull

static struct {
	hpa_t first, last;
} claims[CLAIMS_MAX] = { { MSI_FIRST, MSI_LAST } };
static unsigned claim_count = 1;

bool mmio_is_no_ram(hpa_t first, hpa_t last)
{
	hpa_t at = first & ~PAGE_MASK;

	while (at <= last) {
		if (frame_lookup(at, NULL))
			return false;
		at = frame_has_gib(at) ? at + PAGE_SIZE : ALIGN_DOWN(at, GIB) + GIB;
	}
	return true;
}

bool mmio_claim(hpa_t first, hpa_t last)
{
	if (claim_count == CLAIMS_MAX || !mmio_is_no_ram(first, last))
		return false;
	claims[claim_count].first = first;
	claims[claim_count++].last = last | PAGE_MASK;
	return true;
}

bool mmio_is_free(hpa_t hpa, uint64_t bytes)
{
	for (unsigned i = 0; i < claim_count; i++) {
		if (hpa <= claims[i].last && hpa + bytes - 1 >= claims[i].first)
			return false;
	}
	return mmio_is_no_ram(hpa, hpa + bytes - 1);
}
