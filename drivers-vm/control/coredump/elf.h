/*
 * The head of a core file: everything of an ELF64 ET_CORE before the memory itself. Pure. ELF 1.2, "Program Header"; System V ABI,
 * AMD64 supplement; struct elf_prstatus as Linux writes it and GDB reads it.
 *
 * Each range of RAM is a segment at its physical address, which is its virtual address, too; what the page tables in force map above
 * the middle of the address space is there once more by its virtual addresses, over the same bytes of the file.
 */
#ifndef DRIVERS_VM_CONTROL_COREDUMP_ELF_H
#define DRIVERS_VM_CONTROL_COREDUMP_ELF_H

#include "include/hilum/abi.h"

#include <stdbool.h>
#include <stddef.h>

#define COREDUMP_PAGE_BYTES   4096ull
#define COREDUMP_STATE_GROUPS (HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR | HILUM_STATE_MSR)

/* Of guest-virtual addresses [gva, gva + bytes) at [gpa, gpa + bytes). */
struct coredump_segment {
	uint64_t gva, gpa, bytes;
};

struct coredump_layout {
	uint32_t vcpus;
	uint64_t low_bytes, high_bytes; /* RAM: [0, low) and, if there is high, [4 GiB, 4 GiB + high) */
	unsigned segments;              /* beside those of RAM */
};

/* Bytes of the head, whole pages: where RAM begins in the file; low, then high. */
size_t coredump_head_bytes(const struct coredump_layout *layout);

/* The parts of the head, which is zeroed before; `segment` has layout->segments. */
void coredump_put_head(uint8_t *head, const struct coredump_layout *layout, const struct coredump_segment *segment);
/* The `n`th thread, which is vCPU `index`, in the state COREDUMP_STATE_GROUPS; GDB shows the first one. `crashed`: it ended the VM. */
void coredump_put_thread(uint8_t *head, const struct coredump_layout *layout, uint32_t n, uint32_t index,
                         const struct hilum_vcpu_state *state, bool crashed);

/*
 * What the tables that CR3, CR4 and EFER name map from the middle of the 64-bit address space on, in ascending order, adjoining pieces
 * joined. `page` gives a page of RAM, which may change with the next call, or NULL. The tables are the guest's: nothing is believed of
 * them, and at most COREDUMP_TABLES_MAX are looked at. Returns how many segments were found; what is beyond `most` is left out.
 */
#define COREDUMP_TABLES_MAX 4096u
typedef const uint64_t *coredump_page(void *ctx, uint64_t gpa);
unsigned coredump_walk(const struct hilum_vcpu_state *state, const struct coredump_layout *layout, coredump_page *page, void *ctx,
                       struct coredump_segment *out, unsigned most);

#endif
