/* Figures of VMs at two moments, and what happened a second in between. Pure but for the clock that the caller gives. */
#ifndef TOOLS_CLI_SAMPLE_H
#define TOOLS_CLI_SAMPLE_H

#include <jansson.h>
#include <stdint.h>

struct sample {
	char *name, *state; /* safe for a terminal */
	double seconds;     /* when it was taken */
	uint64_t memory_bytes;
	uint64_t cpu_ns, ready_ns, exits, read_bytes, write_bytes, rx_bytes, tx_bytes;
};

struct sample_set {
	struct sample *samples;
	unsigned count;
};

struct sample_rates {
	double cpu_percent, steal_percent, exits, read_bytes, write_bytes, rx_bytes, tx_bytes; /* a second */
};

/* Adds the figures of a VM, as GET /vms/NAME has them (or GET /vms, of one that does not run). */
void sample_add(struct sample_set *set, const json_t *vm, double seconds);
void sample_free(struct sample_set *set);

/* Between the sample of that name in `before`, and `now`. Zero where there is none, or the counts went back: it was started anew. */
struct sample_rates sample_rate(const struct sample_set *before, const struct sample *now);

#endif
