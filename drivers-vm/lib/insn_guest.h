/*
 * Runs the instruction emulator for a trapped vCPU: context from and to the trap page, the guest's page
 * tables between linear and guest-physical addresses, RAM by pointer and everything else by the device
 * models. Pure: no globals, no calls to the kernel.
 */
#ifndef DRIVERS_VM_LIB_INSN_GUEST_H
#define DRIVERS_VM_LIB_INSN_GUEST_H

#include "drivers-vm/lib/guest_walk.h"
#include "drivers-vm/lib/insn_emulate.h"

struct insn_guest_host {
	/* Pointer to guest RAM if all of [gpa, gpa + bytes) is RAM, else NULL. The guest's vCPUs may write it
	 * meanwhile. */
	void *(*ram)(void *opaque, uint64_t gpa, uint64_t bytes);
	/* Device registers: naturally aligned accesses of 1, 2, 4 or 8 bytes only. Unclaimed ones read all
	 * ones. */
	uint64_t (*mmio_read)(void *opaque, uint64_t gpa, unsigned bytes);
	void (*mmio_write)(void *opaque, uint64_t gpa, unsigned bytes, uint64_t value);
	/* Ports, 1, 2 or 4 bytes. */
	uint32_t (*port_read)(void *opaque, uint16_t port, unsigned bytes);
	void (*port_write)(void *opaque, uint16_t port, unsigned bytes, uint32_t value);
	/* Vector registers of the trapped vCPU, or NULL: then 16-byte moves are unsupported. */
	void (*xmm_read)(void *opaque, unsigned number, uint8_t value[16]);
	void (*xmm_write)(void *opaque, unsigned number, const uint8_t value[16]);
};

struct insn_guest_config {
	const struct insn_guest_host *host;
	void *opaque;           /* passed to the host's functions */
	unsigned physical_bits; /* MAXPHYADDR in the guest's CPUID */
	bool has_1g_pages;      /* in the guest's CPUID */
};

/*
 * Emulates the instruction at which `trap` (kind HILUM_TRAP_MMIO or HILUM_TRAP_STRING) stopped, or a bounded
 * part of it, and writes the answer into `trap`: reply, registers, and the exception to inject. Returns the
 * emulator's result; for INSN_UNSUPPORTED the answer is to inject #UD, which the caller may change, and
 * should log with the RIP. A single-step trap that the guest's RFLAGS.TF asks for is answered as an injected
 * #DB with the state after the instruction.
 */
enum insn_result insn_guest_emulate(const struct insn_guest_config *config, struct hilum_trap *trap);

#endif
