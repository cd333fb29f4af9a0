/* See elf.h. */
#include "drivers-vm/control/coredump/elf.h"

#include "drivers-vm/lib/platform.h"

#include <string.h>

#define ET_CORE     4u
#define EM_X86_64   62u
#define PT_LOAD     1u
#define PT_NOTE     4u
#define PF_RWX      7u
#define NT_PRSTATUS 1u
#define NT_HILUM    1u /* of the name HILUM: the control registers */
#define SIGABRT     6u

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_segment) == 56, "Elf64_Phdr");

struct elf_note {
	uint32_t name_bytes, desc_bytes, type;
	char name[8];
};
_Static_assert(sizeof(struct elf_note) == 20, "Elf64_Nhdr and a name of up to eight bytes");

/* struct elf_prstatus of x86-64; its integers before the registers are aligned as there. */
struct prstatus {
	uint32_t signo, code, error;
	uint16_t cursig, pad;
	uint64_t pending, held;
	uint32_t pid, ppid, pgrp, sid;
	uint64_t times[8];
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, rflags, rsp, ss, fs_base,
		gs_base, ds, es, fs, gs;
	uint32_t fpvalid, pad2;
};
_Static_assert(sizeof(struct prstatus) == 336, "struct elf_prstatus");

struct hilum_note {
	uint64_t cr0, cr2, cr3, cr4, efer, gdtr_base, idtr_base, kernel_gs_base, lstar, tsc_offset;
};

struct thread_notes {
	struct elf_note prstatus_note;
	struct prstatus prstatus;
	struct elf_note hilum_note;
	struct hilum_note hilum;
} __attribute__((packed));
_Static_assert(sizeof(struct thread_notes) % 4 == 0, "notes are aligned to four bytes");

static unsigned ram_ranges(const struct coredump_layout *layout)
{
	return layout->high_bytes != 0 ? 2 : 1;
}

static size_t notes_offset(const struct coredump_layout *layout)
{
	return sizeof(struct elf_header) + (1 + ram_ranges(layout) + layout->segments) * sizeof(struct elf_segment);
}

size_t coredump_head_bytes(const struct coredump_layout *layout)
{
	size_t bytes = notes_offset(layout) + layout->vcpus * sizeof(struct thread_notes);

	return (bytes + COREDUMP_PAGE_BYTES - 1) & ~(size_t)(COREDUMP_PAGE_BYTES - 1);
}

static uint64_t file_offset(const struct coredump_layout *layout, uint64_t gpa)
{
	return coredump_head_bytes(layout) + (gpa < layout->low_bytes ? gpa : gpa - PLATFORM_HIGH_RAM_BASE + layout->low_bytes);
}

static void put_load(uint8_t **at, const struct coredump_layout *layout, const struct coredump_segment *segment)
{
	const struct elf_segment load = {
		.type = PT_LOAD,
		.flags = PF_RWX,
		.offset = file_offset(layout, segment->gpa),
		.vaddr = segment->gva,
		.paddr = segment->gpa,
		.filesz = segment->bytes,
		.memsz = segment->bytes,
		.align = COREDUMP_PAGE_BYTES,
	};

	memcpy(*at, &load, sizeof(load));
	*at += sizeof(load);
}

void coredump_put_head(uint8_t *head, const struct coredump_layout *layout, const struct coredump_segment *segment)
{
	const struct elf_header header = {
		.ident = { 0x7F, 'E', 'L', 'F', 2, 1, 1 },
		.type = ET_CORE,
		.machine = EM_X86_64,
		.version = 1,
		.phoff = sizeof(header),
		.ehsize = sizeof(header),
		.phentsize = sizeof(struct elf_segment),
		.phnum = (uint16_t)(1 + ram_ranges(layout) + layout->segments),
	};
	const struct elf_segment notes = {
		.type = PT_NOTE,
		.offset = notes_offset(layout),
		.filesz = layout->vcpus * sizeof(struct thread_notes),
		.align = 4,
	};
	const struct coredump_segment low = { 0, 0, layout->low_bytes };
	const struct coredump_segment high = { PLATFORM_HIGH_RAM_BASE, PLATFORM_HIGH_RAM_BASE, layout->high_bytes };
	uint8_t *at = head + sizeof(header) + sizeof(notes);

	memcpy(head, &header, sizeof(header));
	memcpy(head + sizeof(header), &notes, sizeof(notes));
	put_load(&at, layout, &low);
	if (layout->high_bytes != 0)
		put_load(&at, layout, &high);
	for (unsigned i = 0; i < layout->segments; i++)
		put_load(&at, layout, &segment[i]);
}

static struct prstatus prstatus_of(const struct hilum_vcpu_state *s, uint32_t index, bool crashed)
{
	const uint64_t *r = s->gpr;

	return (struct prstatus){
		.signo = crashed ? SIGABRT : 0,
		.cursig = crashed ? SIGABRT : 0,
		.pid = index + 1,
		.rax = r[0],
		.rcx = r[1],
		.rdx = r[2],
		.rbx = r[3],
		.rsp = r[4],
		.rbp = r[5],
		.rsi = r[6],
		.rdi = r[7],
		.r8 = r[8],
		.r9 = r[9],
		.r10 = r[10],
		.r11 = r[11],
		.r12 = r[12],
		.r13 = r[13],
		.r14 = r[14],
		.r15 = r[15],
		.orig_rax = UINT64_MAX,
		.rip = s->rip,
		.rflags = s->rflags,
		.cs = s->cs.selector,
		.ss = s->ss.selector,
		.ds = s->ds.selector,
		.es = s->es.selector,
		.fs = s->fs.selector,
		.gs = s->gs.selector,
		.fs_base = s->fs.base,
		.gs_base = s->gs.base,
	};
}

void coredump_put_thread(uint8_t *head, const struct coredump_layout *layout, uint32_t n, uint32_t index, const struct hilum_vcpu_state *s,
                         bool crashed)
{
	const struct thread_notes notes = {
		.prstatus_note = { sizeof("CORE"), sizeof(struct prstatus), NT_PRSTATUS, "CORE" },
		.prstatus = prstatus_of(s, index, crashed),
		.hilum_note = { sizeof("HILUM"), sizeof(struct hilum_note), NT_HILUM, "HILUM" },
		.hilum = { s->cr0, s->cr2, s->cr3, s->cr4, s->efer, s->gdtr_base, s->idtr_base, s->kernel_gs_base, s->lstar,
		           s->tsc_offset },
	};

	memcpy(head + notes_offset(layout) + n * sizeof(notes), &notes, sizeof(notes));
}
