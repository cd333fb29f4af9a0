/* What a loader puts into guest RAM besides the image: command line, initrd, descriptor table, page tables,
 * entry state. */
#include "drivers-vm/control/bytes.h"
#include "drivers-vm/control/loader_private.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_BYTES 0x1000ull

/* Null, unused, then the selectors that the Linux boot protocol fixes: 0x10 code, 0x18 data; 0x20 is the
 * task. */
#define GDT_ENTRIES   6u /* a 64-bit task descriptor takes two */
#define SELECTOR_CODE 0x10u
#define SELECTOR_DATA 0x18u
#define SELECTOR_TASK 0x20u

/* Segment attributes as in struct load_segment; all accessed or busy, as VM entry requires. */
#define ATTR_CODE32 0xC9Bu /* present, execute/read, 32-bit, 4 KiB granules */
#define ATTR_CODE64 0xA9Bu
#define ATTR_DATA   0xC93u
#define ATTR_TASK   0x08Bu
#define TASK_LIMIT  0x67u

#define CR0_PE   0x1ull
#define CR0_ET   0x10ull
#define CR0_PG   0x80000000ull
#define CR4_PAE  0x20ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define RFLAGS_1 0x2ull /* the bit that is always one */

#define PTE_PRESENT_WRITE 0x3ull
#define PTE_LARGE         0x80ull
#define TABLE_ENTRIES     512u
#define IDENTITY_GIB      4u
#define LARGE_PAGE_BYTES  0x200000ull

static uint8_t *window(struct load *load, uint64_t gpa, uint64_t bytes, uint64_t *part)
{
	uint64_t room = LOADER_WINDOW_BYTES - gpa % LOADER_WINDOW_BYTES;

	*part = bytes < room ? bytes : room;
	return load->request->ram(load->request->ctx, gpa, *part);
}

static enum load_error refused(struct load *load, uint64_t gpa)
{
	return loader_fail(load, LOAD_RAM_ACCESS, "guest RAM at 0x%" PRIx64 " is not accessible", gpa);
}

enum load_error loader_write(struct load *load, uint64_t gpa, const void *from, uint64_t bytes)
{
	const uint8_t *source = from;
	uint64_t part;

	for (; bytes > 0; gpa += part, source += part, bytes -= part) {
		uint8_t *to = window(load, gpa, bytes, &part);

		if (to == NULL)
			return refused(load, gpa);
		memcpy(to, source, part);
	}
	return LOAD_OK;
}

enum load_error loader_clear(struct load *load, uint64_t gpa, uint64_t bytes)
{
	uint64_t part;

	for (; bytes > 0; gpa += part, bytes -= part) {
		uint8_t *to = window(load, gpa, bytes, &part);

		if (to == NULL)
			return refused(load, gpa);
		memset(to, 0, part);
	}
	return LOAD_OK;
}

enum load_error loader_put_cmdline(struct load *load, uint32_t limit)
{
	const char *cmdline = load->request->cmdline == NULL ? "" : load->request->cmdline;
	size_t length = strlen(cmdline);

	if (limit > LOADER_CMDLINE_MAX)
		limit = LOADER_CMDLINE_MAX;
	if (length > limit)
		return loader_fail(load, LOAD_BAD_CMDLINE, "the command line has %zu bytes, the limit is %" PRIu32, length, limit);
	return loader_write(load, LOADER_CMDLINE_GPA, cmdline, length + 1);
}

enum load_error loader_put_initrd(struct load *load, uint64_t limit, uint64_t *base)
{
	const struct load_request *request = load->request;

	*base = 0;
	if (request->initrd_name == NULL || request->initrd_bytes == 0)
		return LOAD_OK;
	enum load_error error = loader_claim_free(load, request->initrd_bytes, PAGE_BYTES, LOADER_AREA_LIMIT, limit, true, "the initrd",
	                                          base);
	return error != LOAD_OK ? error : loader_write(load, *base, request->initrd, request->initrd_bytes);
}

static uint64_t descriptor(uint16_t attributes, uint32_t limit)
{
	uint64_t access = attributes & 0xFFu;
	uint64_t flags = (attributes >> 8) & 0xFu;

	return (limit & 0xFFFFu) | access << 40 | (uint64_t)((limit >> 16) & 0xFu) << 48 | flags << 52;
}

/* The GDT in memory and the segment registers agree, so a guest may reload its segments before making its own
 * table. */
static enum load_error put_segments(struct load *load, uint16_t code_attributes)
{
	struct load_vcpu *vcpu = &load->out->vcpu;
	uint64_t gdt[GDT_ENTRIES] = { 0 };

	gdt[SELECTOR_CODE / 8] = descriptor(code_attributes, 0xFFFFF);
	gdt[SELECTOR_DATA / 8] = descriptor(ATTR_DATA, 0xFFFFF);
	gdt[SELECTOR_TASK / 8] = descriptor(ATTR_TASK, TASK_LIMIT);
	vcpu->cs = (struct load_segment){ SELECTOR_CODE, code_attributes, 0xFFFFFFFFu, 0 };
	vcpu->data = (struct load_segment){ SELECTOR_DATA, ATTR_DATA, 0xFFFFFFFFu, 0 };
	vcpu->tr = (struct load_segment){ SELECTOR_TASK, ATTR_TASK, TASK_LIMIT, 0 };
	vcpu->gdt_base = LOADER_GDT_GPA;
	vcpu->gdt_limit = sizeof(gdt) - 1;
	return loader_write(load, LOADER_GDT_GPA, gdt, sizeof(gdt));
}

enum load_error loader_enter_protected(struct load *load, uint64_t rip)
{
	struct load_vcpu *vcpu = &load->out->vcpu;

	vcpu->rip = rip;
	vcpu->rflags = RFLAGS_1;
	vcpu->cr0 = CR0_PE | CR0_ET;
	return put_segments(load, ATTR_CODE32);
}

/* 2 MiB pages: every CPU with long mode has them, 1 GiB pages are optional. */
static enum load_error put_identity_tables(struct load *load)
{
	uint64_t table[TABLE_ENTRIES] = { 0 };
	uint64_t pdpt = LOADER_TABLES_GPA + PAGE_BYTES;
	uint64_t directory = pdpt + PAGE_BYTES;

	table[0] = pdpt | PTE_PRESENT_WRITE;
	enum load_error error = loader_write(load, LOADER_TABLES_GPA, table, sizeof(table));

	for (unsigned i = 0; i < IDENTITY_GIB; i++)
		table[i] = (directory + i * PAGE_BYTES) | PTE_PRESENT_WRITE;
	if (error == LOAD_OK)
		error = loader_write(load, pdpt, table, sizeof(table));
	for (unsigned gib = 0; gib < IDENTITY_GIB && error == LOAD_OK; gib++) {
		for (unsigned i = 0; i < TABLE_ENTRIES; i++)
			table[i] = (gib * TABLE_ENTRIES + i) * LARGE_PAGE_BYTES | PTE_PRESENT_WRITE | PTE_LARGE;
		error = loader_write(load, directory + gib * PAGE_BYTES, table, sizeof(table));
	}
	return error;
}

enum load_error loader_enter_long(struct load *load, uint64_t rip)
{
	struct load_vcpu *vcpu = &load->out->vcpu;
	enum load_error error = put_identity_tables(load);

	if (error != LOAD_OK)
		return error;
	vcpu->rip = rip;
	vcpu->rflags = RFLAGS_1;
	vcpu->cr0 = CR0_PE | CR0_ET | CR0_PG;
	vcpu->cr3 = LOADER_TABLES_GPA;
	vcpu->cr4 = CR4_PAE;
	vcpu->efer = EFER_LME | EFER_LMA;
	return put_segments(load, ATTR_CODE64);
}
