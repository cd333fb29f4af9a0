/* See watchdog.h. A count is taken over when the watchdog is touched or started next, as the specification has it. */
#include "drivers-vm/driver/watchdog.h"

#define PERIOD_NS (PLATFORM_WATCHDOG_PERIOD_MS * 1000000ull)

static uint64_t whole_ns(const struct watchdog *dog)
{
	uint64_t count = dog->count > PLATFORM_WATCHDOG_COUNT_MIN ? dog->count : PLATFORM_WATCHDOG_COUNT_MIN;

	return count * PERIOD_NS;
}

void watchdog_touch(struct watchdog *dog)
{
	if (!dog->running)
		return;
	dog->deadline_ns = model_now(dog->host) + whole_ns(dog);
	model_timer_arm(dog->host, MODEL_TIMER_WATCHDOG, dog->deadline_ns);
}

static void set_running(struct watchdog *dog, bool running)
{
	bool starts = running && !dog->running;

	dog->running = running;
	if (starts)
		watchdog_touch(dog);
	if (!running)
		model_timer_arm(dog->host, MODEL_TIMER_WATCHDOG, 0);
}

void watchdog_timer(struct watchdog *dog)
{
	if (!dog->running)
		return;
	if (model_now(dog->host) < dog->deadline_ns) {
		model_timer_arm(dog->host, MODEL_TIMER_WATCHDOG, dog->deadline_ns);
		return;
	}
	watchdog_touch(dog);
	dog->host->request(dog->host->ctx, MODEL_REQUEST_WATCHDOG, 0);
}

static uint16_t periods_left(const struct watchdog *dog)
{
	uint64_t now = dog->running ? model_now(dog->host) : 0;

	return dog->running && dog->deadline_ns > now ? (uint16_t)((dog->deadline_ns - now + PERIOD_NS - 1) / PERIOD_NS) : 0;
}

uint8_t watchdog_read(struct watchdog *dog, unsigned offset)
{
	if (!dog->there)
		return 0xFF;
	switch (offset) {
	case PLATFORM_WATCHDOG_RUNNING:
		return dog->running;
	case PLATFORM_WATCHDOG_COUNT:
		return (uint8_t)dog->count;
	case PLATFORM_WATCHDOG_COUNT + 1:
		return (uint8_t)(dog->count >> 8);
	case PLATFORM_WATCHDOG_LEFT:
		return (uint8_t)periods_left(dog);
	case PLATFORM_WATCHDOG_LEFT + 1:
		return (uint8_t)(periods_left(dog) >> 8);
	}
	return 0;
}

void watchdog_write(struct watchdog *dog, unsigned offset, uint8_t value)
{
	if (!dog->there)
		return;
	switch (offset) {
	case PLATFORM_WATCHDOG_RUNNING:
		set_running(dog, value & 1);
		break;
	case PLATFORM_WATCHDOG_TOUCH:
		watchdog_touch(dog);
		break;
	case PLATFORM_WATCHDOG_COUNT:
		dog->count = (uint16_t)((dog->count & 0xFF00) | value);
		break;
	case PLATFORM_WATCHDOG_COUNT + 1:
		dog->count = (uint16_t)((dog->count & 0xFF) | value << 8);
		break;
	}
}

void watchdog_adopt(struct watchdog *dog, const struct watchdog *old)
{
	dog->running = dog->there && model_flag(&old->running);
	dog->count = old->count;
	dog->deadline_ns = model_now(dog->host) + whole_ns(dog);
}

void watchdog_init(struct watchdog *dog, const struct model_host *host, bool there)
{
	*dog = (struct watchdog){ .host = host, .there = there, .count = PLATFORM_WATCHDOG_COUNT_FIRST };
}
