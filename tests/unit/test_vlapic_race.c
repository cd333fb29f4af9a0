/*
 * Senders on several threads against one owner: no request is lost, doubled, or given the wrong trigger mode.
 * UNIT_SOURCES: kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vlapic -pthread
 */
#include "kernel/vlapic_internal.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SENDERS     3u
#define MESSAGES    100000u
#define LEVEL_FIRST 0x20u /* vectors 20h to 3Fh are sent as level-triggered, the others as edges */
#define LEVEL_LAST  0x3Fu

uint64_t fake_tsc = 1;
static struct vlapic_bus bus;
static struct vlapic apic;
static uint64_t notices, level_ends;
static unsigned senders_left;

void vlapic_notify(struct vlapic *target, enum vlapic_notice what)
{
	assert_ptr_equal(target, &apic);
	assert_int_equal(what, VLAPIC_NOTIFY_INTR);
	__atomic_fetch_add(&notices, 1, __ATOMIC_SEQ_CST);
}

void vlapic_timer_set(struct vlapic *v, uint64_t host_tsc)
{
	fail_msg("timer of %u set to %lu", v->id, host_tsc);
}

void vlapic_timer_cancel(struct vlapic *v)
{
	fail_msg("timer of %u cancelled", v->id);
}

void vlapic_eoi_level(struct vlapic *v, uint8_t vector)
{
	(void)v;
	assert_in_range(vector, LEVEL_FIRST, LEVEL_LAST);
	level_ends++;
}

static void *send_many(void *seed)
{
	unsigned state = (unsigned)(uintptr_t)seed;

	for (unsigned i = 0; i < MESSAGES; i++) {
		state = state * 1664525 + 1013904223;
		unsigned vector = 0x10 + (state >> 8) % 0xF0;
		bool level = vector >= LEVEL_FIRST && vector <= LEVEL_LAST;

		if (vlapic_deliver_msi(&bus, 0xFEE00000, 0x4000u | (level ? 0x8000u : 0) | vector) != STATUS_OK)
			abort();
		if (i % 64 == 0)
			sched_yield();
	}
	__atomic_fetch_sub(&senders_left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void vlapic_deliver_msi__senders_race_the_owner__each_request_is_taken_once(void **state)
{
	pthread_t thread[SENDERS];
	uint64_t taken = 0, taken_level = 0;
	bool over = false;

	(void)state;
	vlapic_init(&apic, &bus, 0, true);
	vlapic_mmio_write(&apic, 0xF0, 0x1FF);
	senders_left = SENDERS;
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_many, (void *)(uintptr_t)(i + 1)), 0);
	while (!over) {
		int vector;

		over = __atomic_load_n(&senders_left, __ATOMIC_SEQ_CST) == 0;
		while ((vector = vlapic_pending(&apic)) >= 0) {
			vlapic_take(&apic, (unsigned)vector);
			taken++;
			taken_level += vector >= (int)LEVEL_FIRST && vector <= (int)LEVEL_LAST;
			if (taken % 3 == 0) /* let some nest */
				continue;
			while (apic.isrv)
				vlapic_eoi(&apic);
		}
		while (apic.isrv)
			vlapic_eoi(&apic);
		over = over && vlapic_pending(&apic) < 0;
	}
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(taken, notices);
	assert_int_equal(taken_level, level_ends);
	assert_true(taken > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlapic_deliver_msi__senders_race_the_owner__each_request_is_taken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
