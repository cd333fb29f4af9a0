/* A model_host that records what models ask of it, with a clock that moves only when a test moves it. */
#ifndef TESTS_UNIT_FAKE_MODEL_MODEL_FAKE_H
#define TESTS_UNIT_FAKE_MODEL_MODEL_FAKE_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "drivers-vm/driver/model_host.h"

#define FAKE_MSIS  64u
#define FAKE_LINES 24u

struct fake_msi {
	uint64_t address;
	uint32_t data;
};

struct fake_model {
	struct model_host host;
	uint64_t now;
	uint64_t deadline[MODEL_TIMER_COUNT];
	struct fake_msi msi[FAKE_MSIS];
	unsigned msi_count;
	bool intr;
	bool line[FAKE_LINES];
	unsigned rises[FAKE_LINES];
	uint8_t output[65536];
	size_t output_count;
	unsigned output_pieces;
	unsigned ready_calls;
	unsigned requests;
	enum model_request request;
	uint32_t request_value;
};

static uint64_t fake_now(void *ctx)
{
	return ((struct fake_model *)ctx)->now;
}

static void fake_timer_arm(void *ctx, unsigned timer, uint64_t deadline)
{
	assert_true(timer < MODEL_TIMER_COUNT);
	((struct fake_model *)ctx)->deadline[timer] = deadline;
}

static void fake_inject_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct fake_model *f = ctx;

	f->msi[f->msi_count++ % FAKE_MSIS] = (struct fake_msi){ address, data };
}

static void fake_set_intr(void *ctx, bool level)
{
	((struct fake_model *)ctx)->intr = level;
}

static void *fake_no_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)ctx;
	(void)gpa;
	(void)bytes;
	return NULL;
}

static void fake_console_write(void *ctx, unsigned console, const uint8_t *bytes, size_t count)
{
	struct fake_model *f = ctx;

	(void)console;
	assert_true(count <= sizeof(f->output) - f->output_count);
	memcpy(f->output + f->output_count, bytes, count);
	f->output_count += count;
	f->output_pieces++;
}

static void fake_console_ready(void *ctx, unsigned console)
{
	(void)console;
	((struct fake_model *)ctx)->ready_calls++;
}

static void fake_request(void *ctx, enum model_request request, uint32_t value)
{
	struct fake_model *f = ctx;

	f->requests++;
	f->request = request;
	f->request_value = value;
}

static void fake_line_set(void *ctx, unsigned irq, bool level)
{
	struct fake_model *f = ctx;

	assert_true(irq < FAKE_LINES);
	if (level && !f->line[irq])
		f->rises[irq]++;
	f->line[irq] = level;
}

static inline void fake_model_init(struct fake_model *f)
{
	memset(f, 0, sizeof(*f));
	f->now = 5 * MODEL_NS_PER_SECOND;
	f->host = (struct model_host){
		.ctx = f,
		.now_ns = fake_now,
		.timer_arm = fake_timer_arm,
		.inject_msi = fake_inject_msi,
		.set_intr_line = fake_set_intr,
		.guest_ram = fake_no_ram,
		.console_write = fake_console_write,
		.console_ready = fake_console_ready,
		.request = fake_request,
	};
}

static inline struct model_irq fake_model_irq(struct fake_model *f, unsigned irq)
{
	return (struct model_irq){ fake_line_set, f, irq };
}

#endif
