/*
 * Reading the guest's instruction bytes by a software walk of its page tables: for CPUs that deliver neither instruction length
 * nor bytes. Tables are read afresh each time; only the windows onto them are kept while the same vCPU runs.
 */
#ifndef KERNEL_FETCH_H
#define KERNEL_FETCH_H

#include "arch/x86_64/insn_length.h"
#include "kernel/vcpu.h"

enum insn_mode fetch_mode(const struct vcpu_paging *p);

/*
 * Copy up to INSN_MAX_BYTES bytes at CS:RIP into `bytes`. Returns how many could be read: fewer where the guest's tables, or its
 * memory, end.
 */
unsigned fetch_instruction(struct vcpu *v, uint8_t bytes[INSN_MAX_BYTES]);

/* Length of the instruction at CS:RIP; 0 if it cannot be read or is none. */
unsigned fetch_insn_length(struct vcpu *v);

/* The windows are gone; from the backend's load. */
static inline void fetch_forget(struct vcpu *v)
{
	v->fetch_memo.page = ~0ull;
}

#endif
