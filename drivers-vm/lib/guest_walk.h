/*
 * Walks a guest's page tables: guest-virtual to guest-physical in every paging mode, with the rights that the
 * CPU would check and the accessed and dirty bits that it would set. Pure: guest memory is reached by two
 * callbacks only. The tables are the guest's and may change while they are walked: every entry is read once.
 */
#ifndef DRIVERS_VM_LIB_GUEST_WALK_H
#define DRIVERS_VM_LIB_GUEST_WALK_H

#include <stdbool.h>
#include <stdint.h>

/* Control registers, EFER and RFLAGS (SDM vol. 3A, "Control Registers"; APM vol. 2, "Extended Feature Enable
 * Register"). */
#define CR0_PE     (1ull << 0)
#define CR0_EM     (1ull << 2)
#define CR0_TS     (1ull << 3)
#define CR0_WP     (1ull << 16)
#define CR0_AM     (1ull << 18)
#define CR0_PG     (1ull << 31)
#define CR4_PSE    (1ull << 4)
#define CR4_PAE    (1ull << 5)
#define CR4_OSFXSR (1ull << 9)
#define CR4_LA57   (1ull << 12)
#define CR4_SMEP   (1ull << 20)
#define CR4_SMAP   (1ull << 21)
#define EFER_LMA   (1ull << 10)
#define EFER_NXE   (1ull << 11)
#define RFLAGS_AC  (1ull << 18)

/* What an access is; flags add up. None: an explicit supervisor read. */
#define GUEST_ACCESS_WRITE    (1u << 0)
#define GUEST_ACCESS_USER     (1u << 1) /* at CPL 3 */
#define GUEST_ACCESS_FETCH    (1u << 2)
#define GUEST_ACCESS_IMPLICIT (1u << 3) /* a supervisor access to a descriptor table or the like: SMAP has no exception */

/* Page-fault error code (SDM vol. 3A, "Page-Fault Exceptions"). */
#define PAGE_FAULT_PRESENT  (1u << 0)
#define PAGE_FAULT_WRITE    (1u << 1)
#define PAGE_FAULT_USER     (1u << 2)
#define PAGE_FAULT_RESERVED (1u << 3)
#define PAGE_FAULT_FETCH    (1u << 4)

enum guest_walk_result {
	GUEST_WALK_OK,
	GUEST_WALK_FAULT,  /* #PF with the error code given */
	GUEST_WALK_RETRY,  /* the guest kept changing its tables: run it and come back */
	GUEST_WALK_NO_RAM, /* a table lies outside guest RAM */
};

struct guest_paging {
	uint64_t cr0, cr3, cr4, efer, rflags;
	unsigned physical_bits; /* MAXPHYADDR as the guest's CPUID says, 32 to 52 */
	bool has_1g_pages;      /* as the guest's CPUID says */
};

struct guest_walk_memory {
	void *opaque;
	/* Reads an aligned entry of 4 or 8 bytes at once. False if it is not RAM. */
	bool (*read)(void *opaque, uint64_t gpa, unsigned bytes, uint64_t *value);
	/* Atomically replaces an entry. False if it no longer holds `expected`. */
	bool (*compare_exchange)(void *opaque, uint64_t gpa, unsigned bytes, uint64_t expected, uint64_t desired);
};

struct guest_walk_output {
	uint64_t gpa;        /* of the byte asked for */
	uint64_t page_bytes; /* size of the page it lies in; 4 KiB without paging */
	uint32_t error_code; /* after GUEST_WALK_FAULT */
};

/*
 * Translates `gva` for an access of the kind `access` (GUEST_ACCESS_*). The address is taken as canonical.
 * `*out` is written on OK and FAULT only. Protection keys and shadow stacks are not known here and must not
 * be shown to the guest. Source: SDM vol. 3A, "Paging"; APM vol. 2, "Page Translation and Protection".
 */
enum guest_walk_result guest_walk(const struct guest_paging *paging, const struct guest_walk_memory *memory, uint64_t gva, unsigned access,
                                  struct guest_walk_output *out);

/* The error-code bits that say what `access` was, without those that say what was found. */
uint32_t guest_walk_error_bits(const struct guest_paging *paging, unsigned access);

#endif
