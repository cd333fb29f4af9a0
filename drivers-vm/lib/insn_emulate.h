/*
 * Executes one guest instruction that trapped on memory-mapped registers or on I/O ports. Pure: everything it
 * knows is in its context, and the guest's memory, ports and vector registers are reached by callbacks only.
 *
 * Guarantees: registers, flags and RIP change only when the instruction (or, of a repeated string
 * instruction, an iteration) has completed; a repeated instruction does bounded work per call and can be
 * continued by the guest itself, since RIP stays on it; memory behind callbacks is accessed in the
 * instruction's order, each operand in one callback. Not checked: I/O permission (IOPL and TSS bitmap are
 * checked by the CPU before the exit), legality of LOCK, CPUID features.
 */
#ifndef DRIVERS_VM_LIB_INSN_EMULATE_H
#define DRIVERS_VM_LIB_INSN_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include <hilum/abi.h>
#include "drivers-vm/lib/insn_decode.h"

/* Exception vectors it can raise (SDM vol. 3A, "Exception and Interrupt Reference"). */
#define INSN_VECTOR_UD 6u
#define INSN_VECTOR_SS 12u
#define INSN_VECTOR_GP 13u
#define INSN_VECTOR_PF 14u
#define INSN_VECTOR_AC 17u

/* A repeated string instruction moves at most this many bytes per call. */
#define INSN_REPEAT_BYTES_MAX 4096u

enum insn_result {
	INSN_DONE = 0,    /* completed: the context is the state at the next instruction */
	INSN_AGAIN,       /* not completed, or only a part of a repetition: run the guest again from the context */
	INSN_EXCEPTION,   /* inject context->exception; the context is the state at the faulting instruction */
	INSN_UNSUPPORTED, /* not an instruction that the emulator knows; nothing changed */
};

struct insn_exception {
	uint8_t vector;
	bool has_error_code; /* false in real mode, and for #UD and #NM */
	uint32_t error_code;
	uint64_t cr2; /* for #PF: the linear address */
};

struct insn_context;

/*
 * The world outside. `linear` addresses are canonical and wholly inside their segment; an operand of 1 to 16
 * bytes may cross a page, and then all of it is accessed or nothing. Accesses are made at
 * insn_context_cpl(c). Each returns INSN_DONE, or INSN_EXCEPTION with context->exception set, or INSN_AGAIN
 * when it cannot tell yet.
 */
struct insn_host {
	/* Reads memory. `access`: GUEST_ACCESS_WRITE if the operand will be written next (then check for
	 * that), GUEST_ACCESS_FETCH for instruction bytes (then the read lies within one page), or 0. */
	enum insn_result (*read)(struct insn_context *c, uint64_t linear, void *buffer, unsigned bytes, unsigned access);
	enum insn_result (*write)(struct insn_context *c, uint64_t linear, const void *buffer, unsigned bytes);
	/* Writes `desired` if RAM still holds `expected`, atomically, else INSN_AGAIN. Registers are just
	 * written. */
	enum insn_result (*compare_exchange)(struct insn_context *c, uint64_t linear, uint64_t expected, uint64_t desired, unsigned bytes);
	/* Checks that a write would succeed, without making it. */
	enum insn_result (*probe_write)(struct insn_context *c, uint64_t linear, unsigned bytes);
	uint32_t (*port_read)(struct insn_context *c, uint16_t port, unsigned bytes);
	void (*port_write)(struct insn_context *c, uint16_t port, unsigned bytes, uint32_t value);
	/* Vector registers XMM0 to XMM15. False where they cannot be reached: the move is then unsupported.
	 */
	bool (*xmm_read)(struct insn_context *c, unsigned number, uint8_t value[16]);
	bool (*xmm_write)(struct insn_context *c, unsigned number, const uint8_t value[16]);
};

struct insn_context {
	const struct insn_host *host;
	void *opaque; /* the caller's */

	/* Instruction bytes if they are known already, at least up to the instruction's end; else zero, and
	 * they are fetched. */
	uint8_t bytes[16];
	unsigned byte_count;

	uint64_t gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15 */
	uint64_t rip, rflags;
	struct hilum_segment segment[6]; /* ES CS SS DS FS GS */
	uint64_t cr0, cr3, cr4, efer;

	/* During the call: the instruction has a single memory operand, so every access but a fetch is to
	 * that one. */
	bool one_operand;

	/* After the call */
	struct insn_exception exception; /* for INSN_EXCEPTION */
	bool single_step;                /* with DONE or AGAIN: RFLAGS.TF asks for a #DB after what was done */
};

/* Code size of the context, from CS, CR0 and EFER. */
enum insn_mode insn_context_mode(const struct insn_context *c);

/* Privilege level 0 to 3. In real mode 0, in virtual-8086 mode 3. */
unsigned insn_context_cpl(const struct insn_context *c);

/* Executes the instruction at RIP, or a bounded part of it. */
enum insn_result insn_emulate(struct insn_context *c);

#endif
