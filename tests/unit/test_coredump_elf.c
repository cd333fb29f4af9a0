/*
 * The head of a core file, read again as a debugger reads it, and page tables as segments.
 *
 * UNIT_SOURCES: drivers-vm/control/coredump/elf.c drivers-vm/control/coredump/walk.c
 */
#include "cmocka_all.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

#include "drivers-vm/control/coredump/elf.h"
#include "drivers-vm/lib/guest_walk.h"

#define MIB 0x100000ull
#define GIB (1ull << 30)

static struct hilum_vcpu_state vcpu;

/* ---- The head -------------------------------------------------------------------------------------------------------------------------- */

static const uint8_t *note_of(const uint8_t *head, const Elf64_Phdr *notes, unsigned n)
{
	const uint8_t *at = head + notes->p_offset;

	for (; n != 0; n--) {
		const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
		at += sizeof(*note) + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
	}
	assert_true(at < head + notes->p_offset + notes->p_filesz);
	return at;
}

static void coredump_put_head__two_vcpus_high_ram__as_elf_says(void **state)
{
	const struct coredump_segment kernel = { 0xFFFFFFFF81000000, 4 * GIB + 2 * MIB, 4 * MIB };
	const struct coredump_layout layout = { .vcpus = 2, .low_bytes = 3 * GIB, .high_bytes = GIB, .segments = 1 };
	size_t bytes = coredump_head_bytes(&layout);
	uint8_t *head = calloc(1, bytes);

	(void)state;
	assert_int_equal(bytes % 4096, 0);
	coredump_put_head(head, &layout, &kernel);
	vcpu.rip = 0xFFFFFFFF81000010;
	vcpu.gpr[4] = 0x1234;
	vcpu.gpr[15] = 15;
	vcpu.cr3 = 0x5000;
	coredump_put_thread(head, &layout, 0, 1, &vcpu, true);
	vcpu.rip = 7;
	coredump_put_thread(head, &layout, 1, 0, &vcpu, false);

	const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
	const Elf64_Phdr *segment = (const Elf64_Phdr *)(head + elf->e_phoff);
	assert_memory_equal(elf->e_ident, ELFMAG, SELFMAG);
	assert_int_equal(elf->e_type, ET_CORE);
	assert_int_equal(elf->e_machine, EM_X86_64);
	assert_int_equal(elf->e_phnum, 4);
	assert_int_equal(segment[0].p_type, PT_NOTE);
	assert_int_equal(segment[1].p_offset, bytes);
	assert_int_equal(segment[1].p_filesz, 3 * GIB);
	assert_int_equal(segment[2].p_vaddr, 4 * GIB);
	assert_int_equal(segment[2].p_offset, bytes + 3 * GIB);
	assert_int_equal(segment[2].p_filesz, GIB);
	assert_int_equal(segment[3].p_vaddr, kernel.gva);
	assert_int_equal(segment[3].p_paddr, kernel.gpa);
	assert_int_equal(segment[3].p_offset, bytes + 3 * GIB + 2 * MIB);

	const Elf64_Nhdr *note = (const Elf64_Nhdr *)note_of(head, &segment[0], 0);
	struct elf_prstatus status;
	assert_int_equal(note->n_type, NT_PRSTATUS);
	assert_int_equal(note->n_descsz, sizeof(status));
	assert_string_equal((const char *)(note + 1), "CORE");
	memcpy(&status, (const uint8_t *)(note + 1) + 8, sizeof(status));
	assert_int_equal(status.pr_pid, 2);
	assert_int_equal(status.pr_cursig, 6);
	assert_int_equal(status.pr_reg[16], 0xFFFFFFFF81000010); /* rip */
	assert_int_equal(status.pr_reg[19], 0x1234);             /* rsp */
	assert_int_equal(status.pr_reg[0], 15);                  /* r15 */
	note = (const Elf64_Nhdr *)note_of(head, &segment[0], 1);
	assert_string_equal((const char *)(note + 1), "HILUM");
	assert_int_equal(((const uint64_t *)((const uint8_t *)(note + 1) + 8))[2], 0x5000);
	note = (const Elf64_Nhdr *)note_of(head, &segment[0], 2);
	memcpy(&status, (const uint8_t *)(note + 1) + 8, sizeof(status));
	assert_int_equal(status.pr_pid, 1);
	assert_int_equal(status.pr_cursig, 0);
	free(head);
}

/* ---- Page tables ----------------------------------------------------------------------------------------------------------------------- */

#define PAGES 16u

static uint64_t ram[PAGES][512];
static const struct coredump_layout small = { .vcpus = 1, .low_bytes = 1 * GIB };
static unsigned looked;

static const uint64_t *page_of(void *ctx, uint64_t gpa)
{
	assert_ptr_equal(ctx, ram);
	assert_int_equal(gpa % 4096, 0);
	looked++;
	return gpa < sizeof(ram) ? ram[gpa / 4096] : NULL;
}

static unsigned walk(struct coredump_segment *out, unsigned most)
{
	looked = 0;
	return coredump_walk(&vcpu, &small, page_of, ram, out, most);
}

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.cr0 = CR0_PG | CR0_PE;
	vcpu.cr4 = CR4_PAE;
	vcpu.efer = EFER_LMA;
	vcpu.cr3 = 0x1000;
	return 0;
}

static void coredump_walk__pages_of_each_size__joined_where_they_adjoin(void **state)
{
	struct coredump_segment found[8];

	(void)state;
	ram[1][0] = 0x2003; /* below the middle: not looked at */
	ram[1][256] = 0x2003;
	ram[1][511] = 0x3003;
	ram[2][0] = 0x83 | 1ull << 63; /* 1 GiB at 0 */
	ram[3][510] = 0x4003;
	ram[4][8] = 0x800000 | 0x83; /* 2 MiB, twice */
	ram[4][9] = 0xA00000 | 0x83;
	ram[4][10] = 0x5003;
	ram[5][0] = 0xC00000 | 3;       /* adjoins */
	ram[5][1] = 0xC02000 | 3;       /* does not */
	ram[5][2] = 0xFFF000000000 | 3; /* not RAM */
	assert_int_equal(walk(found, 8), 3);
	assert_int_equal(found[0].gva, 0xFFFF800000000000);
	assert_int_equal(found[0].bytes, GIB);
	assert_int_equal(found[1].gva, 0xFFFFFFFF81000000);
	assert_int_equal(found[1].gpa, 0x800000);
	assert_int_equal(found[1].bytes, 4 * MIB + 4096);
	assert_int_equal(found[2].gva, 0xFFFFFFFF81401000);
	assert_int_equal(found[2].gpa, 0xC02000);
	assert_int_equal(walk(found, 1), 1);
}

static void coredump_walk__tables_that_name_themselves__ends(void **state)
{
	static struct coredump_segment found[64];

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		ram[1][i] = 0x1003;
	assert_true(walk(found, 64) <= 64);
	assert_true(looked <= COREDUMP_TABLES_MAX);
}

static void coredump_walk__five_levels__from_their_middle(void **state)
{
	struct coredump_segment found[2];

	(void)state;
	vcpu.cr4 |= CR4_LA57;
	ram[1][256] = 0x2003;
	ram[2][0] = 0x3003;
	ram[3][1] = 0x83;
	assert_int_equal(walk(found, 2), 1);
	assert_int_equal(found[0].gva, 0xFF00000040000000);
}

static void coredump_walk__no_paging_or_not_long__nothing(void **state)
{
	struct coredump_segment found[2];

	(void)state;
	vcpu.cr0 = CR0_PE;
	assert_int_equal(walk(found, 2), 0);
	vcpu.cr0 |= CR0_PG;
	vcpu.efer = 0;
	assert_int_equal(walk(found, 2), 0);
	vcpu.efer = EFER_LMA;
	vcpu.cr3 = 8 * GIB;
	assert_int_equal(walk(found, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(coredump_put_head__two_vcpus_high_ram__as_elf_says, setup),
		cmocka_unit_test_setup(coredump_walk__pages_of_each_size__joined_where_they_adjoin, setup),
		cmocka_unit_test_setup(coredump_walk__tables_that_name_themselves__ends, setup),
		cmocka_unit_test_setup(coredump_walk__five_levels__from_their_middle, setup),
		cmocka_unit_test_setup(coredump_walk__no_paging_or_not_long__nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
