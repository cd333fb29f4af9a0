/*
 * Parts of the bench guest: operations, and how one is measured.
 */
#ifndef TESTS_GUEST_BENCH_BENCH_H
#define TESTS_GUEST_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct bench_op {
	const char *name;
	void (*run)(void);     /* what is timed */
	void (*prepare)(void); /* before each round, not timed; NULL if nothing */
	bool (*offered)(void); /* whether this platform has it; NULL: always */
};

/*
 * Prints "bench: NAME VALUE instructions" (the least of count rounds) and the same with NAME_mean, cost of an
 * empty op off.
 */
void bench_measure(const struct bench_op *op, unsigned count);
/* count rounds after a few to warm up: the ticks of the least one and their mean, with what timing itself takes. */
void bench_rounds(const struct bench_op *op, unsigned count, uint64_t *least, uint64_t *mean);
/* The lines alone, for an operation that is timed by its own code. */
void bench_report(const char *name, uint64_t least, uint64_t mean);
/* Ticks that timing itself takes; set by the first measurement. */
uint64_t bench_overhead(void);

/* Operations by file; each ends with an entry whose name is NULL. */
extern const struct bench_op bench_cpu_ops[];   /* cpu_ops.c */
extern const struct bench_op bench_port_ops[];  /* port_ops.c */
extern const struct bench_op bench_xapic_ops[]; /* apic_ops.c, in xAPIC mode */
extern const struct bench_op bench_x2apic_ops[];

extern const struct bench_op bench_fresh_page;
extern const struct bench_op bench_vm_call; /* where the handler is tests/service/null_handler.c */

void bench_tsc_deadline(unsigned count); /* apic_ops.c */

#endif
