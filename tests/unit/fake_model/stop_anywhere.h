/*
 * Stops a function after each of its instructions that changes something in memory that outlives it, by the CPU's own single steps (the
 * trap flag), and keeps that memory as it was at each of these moments.
 */
#ifndef TESTS_UNIT_FAKE_MODEL_STOP_ANYWHERE_H
#define TESTS_UNIT_FAKE_MODEL_STOP_ANYWHERE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define STOP_REGIONS   4u
#define STOP_STATES    1200u
#define STOP_TRAP_FLAG 0x100
#define STOP_RED_ZONE  128

struct stop_region {
	void *at;
	size_t bytes;
};

static struct {
	struct stop_region region[STOP_REGIONS];
	unsigned regions, states;
	size_t bytes;
	uint8_t *state; /* of STOP_STATES */
} stop;

static void stop_save(void)
{
	uint8_t *to = stop.state + stop.bytes * stop.states;

	for (unsigned i = 0; stop.states < STOP_STATES && i < stop.regions; to += stop.region[i++].bytes)
		memcpy(to, stop.region[i].at, stop.region[i].bytes);
	stop.states++;
}

static void stop_step(int signal)
{
	const uint8_t *last = stop.state + stop.bytes * (stop.states - 1);

	(void)signal;
	if (stop.states > STOP_STATES)
		return;
	for (unsigned i = 0; i < stop.regions; last += stop.region[i++].bytes) {
		if (memcmp(last, stop.region[i].at, stop.region[i].bytes) != 0) {
			stop_save();
			return;
		}
	}
}

static void stop_set_trap_flag(uint64_t flag)
{
	__asm__ volatile("lea %c1(%%rsp), %%rsp\n\tpushfq\n\tandq %2, (%%rsp)\n\torq %0, (%%rsp)\n\tpopfq\n\tlea %c3(%%rsp), %%rsp"
	                 :
	                 : "r"(flag), "i"(-STOP_RED_ZONE), "i"(~STOP_TRAP_FLAG), "i"(STOP_RED_ZONE)
	                 : "memory", "cc");
}

/* Returns how many states there are: before `act`, and after each change. */
static inline unsigned stop_everywhere(const struct stop_region *region, unsigned regions, void (*act)(void))
{
	const struct sigaction on = { .sa_handler = stop_step };
	struct sigaction before;

	assert_in_range(regions, 1, STOP_REGIONS);
	stop.regions = regions;
	stop.states = 0;
	stop.bytes = 0;
	for (unsigned i = 0; i < regions; i++) {
		stop.region[i] = region[i];
		stop.bytes += region[i].bytes;
	}
	stop.state = malloc(STOP_STATES * stop.bytes);
	assert_non_null(stop.state);
	stop_save();
	sigaction(SIGTRAP, &on, &before);
	stop_set_trap_flag(STOP_TRAP_FLAG);
	act();
	stop_set_trap_flag(0);
	sigaction(SIGTRAP, &before, NULL);
	assert_in_range(stop.states, 20, STOP_STATES);
	return stop.states;
}

/* Puts the memory back to the state of that number. */
static inline void stop_restore(unsigned number)
{
	const uint8_t *from = stop.state + stop.bytes * number;

	for (unsigned i = 0; i < stop.regions; from += stop.region[i++].bytes)
		memcpy(stop.region[i].at, from, stop.region[i].bytes);
}

static inline void stop_done(void)
{
	free(stop.state);
	stop.state = NULL;
}

#endif
