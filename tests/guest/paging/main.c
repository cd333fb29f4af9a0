/*
 * Address translation in every mode, and changing modes at run time.
 */
#include "tests/guest/paging/local.h"
#include "tests/guest/lib/test.h"

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "page_sizes", paging_page_sizes },
		{ "accessed_dirty", paging_accessed_dirty },
		{ "accessed_dirty_large", paging_large_accessed_dirty },
		{ "write_protect", paging_write_protect },
		{ "smep", paging_smep },
		{ "smap", paging_smap },
		{ "invlpg", paging_invlpg },
		{ "cr3_flush", paging_cr3_flush },
		{ "global_flush", paging_global_flush },
		{ "cr3_switch", paging_cr3_switch },
		{ "pcid", paging_pcid },
		{ "protected_mode_flat", modes_protected_flat },
		{ "protected_mode_exceptions", modes_protected_exceptions },
		{ "paging_32_bit", modes_paging_32 },
		{ "paging_32_bit_4m", modes_paging_32_large },
		{ "paging_pae", modes_paging_pae },
		{ "pae_pdptes", modes_pae_pdptes },
		{ "real_mode", modes_real },
		{ "real_mode_interrupt", modes_real_interrupt },
		{ "mode_switching", modes_switching },
	};

	TEST_RUN(cases);
}
