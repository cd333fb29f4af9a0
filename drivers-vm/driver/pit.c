/*
 * The three channels in modes 0 to 5. Channel 0's rising edges become interrupts through one host timer; when
 * the host is late, edges that have passed are dropped and the phase is kept, as on a PC whose interrupts
 * were off for too long.
 */
#include "drivers-vm/driver/pit.h"

#include <string.h>

/* A guest may ask for a rising edge every 2 ticks; serving that would be a denial of service to its
 * neighbours. */
#define PIT_EDGE_MIN_NS 100000ull

#define CONTROL_BCD        0x01u
#define STATUS_OUT         0x80u
#define STATUS_NULL        0x40u
#define READBACK_NO_COUNT  0x20u
#define READBACK_NO_STATUS 0x10u

#define PORT61_GATE2    0x01u
#define PORT61_SPEAKER  0x02u
#define PORT61_REFRESH  0x10u
#define PORT61_OUT2     0x20u
#define REFRESH_HALF_NS 15085ull /* the refresh request toggles every 18 ticks of the PIT clock */

static uint64_t ticks_from_ns(uint64_t ns)
{
	return ns / MODEL_NS_PER_SECOND * PIT_HZ + ns % MODEL_NS_PER_SECOND * PIT_HZ / MODEL_NS_PER_SECOND;
}

/* The first nanosecond at which `ticks` have passed. */
static uint64_t ns_from_ticks(uint64_t ticks)
{
	return ticks / PIT_HZ * MODEL_NS_PER_SECOND + (ticks % PIT_HZ * MODEL_NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ;
}

static bool is_periodic(const struct pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/* Ticks since the cycle began; takes over a pending count when the old cycle has ended. */
static uint64_t channel_elapsed(struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks;

	if (!channel->running)
		return channel->paused_ticks;
	ticks = ticks_from_ns(now - channel->start_ns);
	if (channel->reload_pending && ticks >= channel->count) {
		channel->start_ns += ns_from_ticks(channel->count);
		channel->count = channel->reload;
		channel->reload_pending = false;
		ticks = now > channel->start_ns ? ticks_from_ns(now - channel->start_ns) : 0;
	}
	return ticks;
}

/* OUT, by mode: datasheet, "Mode Definitions". */
static bool channel_out(struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks = channel_elapsed(channel, now);

	if (!channel->armed)
		return channel->mode != 0;
	switch (channel->mode) {
	case 0:
		return ticks >= channel->count;
	case 1:
		return !channel->running || ticks >= channel->count;
	case 2:
		return !channel->running || ticks % channel->count != channel->count - 1;
	case 3:
		return !channel->running || ticks % channel->count < (channel->count + 1) / 2;
	default: /* 4 and 5: one low pulse at the end */
		return !channel->running || ticks != channel->count;
	}
}

static uint16_t to_bcd(uint32_t value)
{
	return (value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | value % 10;
}

static uint32_t from_bcd(uint16_t value)
{
	return (value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u + (value & 15);
}

static uint16_t channel_value(struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks = channel_elapsed(channel, now);
	uint64_t value;

	if (channel->count == 0)
		return 0; /* never loaded since power-on */
	if (channel->mode == 2)
		value = channel->count - ticks % channel->count;
	else if (channel->mode == 3)
		value = channel->count - 2 * ticks % channel->count;
	else if (channel->bcd)
		value = (channel->count + 10000 - ticks % 10000) % 10000; /* wraps past zero */
	else
		value = channel->count - ticks;
	return channel->bcd ? to_bcd(value) : (uint16_t)value;
}

/* The tick of the next rising edge of OUT after `ticks`, or 0 if there is none. */
static uint64_t next_edge(const struct pit_channel *channel, uint64_t ticks)
{
	switch (channel->mode) {
	case 0:
	case 1:
		return ticks < channel->count ? channel->count : 0;
	case 2:
	case 3:
		return (ticks / channel->count + 1) * channel->count;
	default:
		return ticks <= channel->count ? channel->count + 1 : 0;
	}
}

/* Arms the timer for channel 0's next edge that lies at or after `earliest`. */
static void schedule(struct pit *pit, uint64_t now, uint64_t earliest)
{
	struct pit_channel *channel = &pit->channel[0];
	uint64_t ticks = channel_elapsed(channel, now);
	uint64_t edge = channel->running ? next_edge(channel, ticks) : 0;
	uint64_t deadline = edge ? channel->start_ns + ns_from_ticks(edge) : 0;

	if (deadline && deadline < earliest)
		deadline = earliest;
	if (deadline != pit->deadline_ns) {
		pit->deadline_ns = deadline;
		model_timer_arm(pit->host, MODEL_TIMER_PIT, deadline);
	}
}

static void channel0_changed(struct pit *pit, uint64_t now)
{
	model_irq_set(&pit->irq, channel_out(&pit->channel[0], now));
	schedule(pit, now, now + PIT_EDGE_MIN_NS);
}

void pit_timer(struct pit *pit)
{
	uint64_t now = model_now(pit->host);
	bool due = pit->deadline_ns != 0 && now >= pit->deadline_ns;

	pit->deadline_ns = 0; /* a timer that has fired is disarmed, even if it fired early */
	if (due) {
		model_irq_set(&pit->irq, false);
		model_irq_set(&pit->irq, true);
	}
	schedule(pit, now, now + PIT_EDGE_MIN_NS);
}

static void channel_start(struct pit_channel *channel, uint64_t now)
{
	channel->count = channel->reload;
	channel->reload_pending = false;
	channel->start_ns = now;
	channel->paused_ticks = 0;
	channel->running = true;
}

static void channel_load(struct pit_channel *channel, uint16_t written, uint64_t now)
{
	channel->reload = channel->bcd ? from_bcd(written) : written;
	if (channel->reload == 0)
		channel->reload = channel->bcd ? 10000 : 65536;
	/* 1 is illegal in the dividing modes: datasheet, figure 21, minimum initial counts. */
	if (is_periodic(channel) && channel->reload == 1)
		channel->reload = 2;
	if (!channel->armed)
		channel->count = channel->reload;
	channel->armed = true;
	switch (channel->mode) {
	case 1:
	case 5: /* wait for the gate's rising edge */
		return;
	case 2:
	case 3:
		if (channel->running) {
			channel->reload_pending = true;
			return;
		}
		break;
	}
	channel_start(channel, now);
	if (!channel->gate)
		channel->running = false;
}

static void count_write(struct pit *pit, unsigned index, uint8_t value)
{
	struct pit_channel *channel = &pit->channel[index];
	uint64_t now = model_now(pit->host);

	if (channel->access == 3 && !channel->write_high_next) {
		channel->write_low = value;
		channel->write_high_next = true;
		if (channel->mode == 0) { /* the first byte of two stops a mode 0 count and OUT falls */
			channel->armed = false;
			channel->running = false;
			channel->paused_ticks = 0;
		}
	} else {
		uint16_t written = value;

		if (channel->access == 3)
			written = channel->write_low | value << 8;
		else if (channel->access == 2)
			written = value << 8;
		channel->write_high_next = false;
		channel_load(channel, written, now);
	}
	if (index == 0)
		channel0_changed(pit, now);
}

static uint8_t channel_status(struct pit_channel *channel, uint64_t now)
{
	bool out = channel_out(channel, now);
	bool null_count = !channel->armed || channel->reload_pending;

	return (out ? STATUS_OUT : 0) | (null_count ? STATUS_NULL : 0) | channel->access << 4 | channel->mode << 1 |
	       (channel->bcd ? CONTROL_BCD : 0);
}

static void channel_latch_count(struct pit_channel *channel, uint64_t now)
{
	if (channel->count_latched)
		return; /* the first latch stays until it is read */
	channel->latched_count = channel_value(channel, now);
	channel->count_latched = true;
	channel->read_high_next = channel->access == 2;
}

static void readback(struct pit *pit, uint8_t command)
{
	uint64_t now = model_now(pit->host);
	unsigned i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *channel = &pit->channel[i];

		if (!(command >> (i + 1) & 1))
			continue;
		if (!(command & READBACK_NO_COUNT))
			channel_latch_count(channel, now);
		if (!(command & READBACK_NO_STATUS) && !channel->status_latched) {
			channel->latched_status = channel_status(channel, now);
			channel->status_latched = true;
		}
	}
}

static void control_write(struct pit *pit, uint8_t value)
{
	unsigned index = value >> 6;
	uint64_t now = model_now(pit->host);
	struct pit_channel *channel;

	if (index == 3) {
		readback(pit, value);
		return;
	}
	channel = &pit->channel[index];
	if ((value >> 4 & 3) == 0) {
		channel_latch_count(channel, now);
		return;
	}
	channel->access = value >> 4 & 3;
	channel->mode = value >> 1 & 7;
	if (channel->mode > 5)
		channel->mode -= 4; /* modes 2 and 3 ignore their top bit */
	channel->bcd = value & CONTROL_BCD;
	channel->armed = false;
	channel->running = false;
	channel->paused_ticks = 0;
	channel->reload_pending = false;
	channel->write_high_next = false;
	channel->read_high_next = channel->access == 2;
	channel->count_latched = false;
	channel->status_latched = false;
	if (index == 0)
		channel0_changed(pit, now);
}

void pit_write(struct pit *pit, unsigned offset, uint8_t value)
{
	if (offset < PIT_CHANNELS)
		count_write(pit, offset, value);
	else
		control_write(pit, value);
}

uint8_t pit_read(struct pit *pit, unsigned offset)
{
	struct pit_channel *channel;
	uint16_t value;
	bool high;

	if (offset >= PIT_CHANNELS)
		return 0xFF; /* the control word cannot be read */
	channel = &pit->channel[offset];
	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->latched_status;
	}
	value = channel->count_latched ? channel->latched_count : channel_value(channel, model_now(pit->host));
	high = channel->access == 2 || (channel->access == 3 && channel->read_high_next);
	if (channel->access == 3)
		channel->read_high_next = !channel->read_high_next;
	if (channel->access != 3 || high)
		channel->count_latched = false;
	return high ? value >> 8 : value & 0xFF;
}

static void gate_set(struct pit_channel *channel, bool gate, uint64_t now)
{
	bool rising = gate && !channel->gate;
	bool falling = !gate && channel->gate;

	channel->gate = gate;
	if (!channel->armed)
		return;
	switch (channel->mode) {
	case 0:
	case 4: /* the gate lets the count go on */
		if (falling) {
			channel->paused_ticks = channel_elapsed(channel, now);
			channel->running = false;
		} else if (rising) {
			channel->start_ns = now - ns_from_ticks(channel->paused_ticks);
			channel->running = true;
		}
		break;
	case 2:
	case 3: /* low holds OUT high, rising starts a new cycle */
		if (falling) {
			channel->paused_ticks = channel_elapsed(channel, now);
			channel->running = false;
		} else if (rising) {
			channel_start(channel, now);
		}
		break;
	default: /* 1 and 5: rising triggers, falling does nothing */
		if (rising)
			channel_start(channel, now);
		break;
	}
}

uint8_t pit_read_port61(struct pit *pit)
{
	uint64_t now = model_now(pit->host);

	return (pit->channel[2].gate ? PORT61_GATE2 : 0) | pit->speaker_data | ((now / REFRESH_HALF_NS & 1) ? PORT61_REFRESH : 0) |
	       (channel_out(&pit->channel[2], now) ? PORT61_OUT2 : 0);
}

void pit_write_port61(struct pit *pit, uint8_t value)
{
	pit->speaker_data = value & PORT61_SPEAKER;
	gate_set(&pit->channel[2], value & PORT61_GATE2, model_now(pit->host));
}

void pit_init(struct pit *pit, const struct model_host *host, struct model_irq irq)
{
	unsigned i;

	memset(pit, 0, sizeof(*pit));
	pit->host = host;
	pit->irq = irq;
	for (i = 0; i < PIT_CHANNELS; i++) {
		pit->channel[i].access = 3;
		pit->channel[i].gate = i != 2;
		pit->channel[i].mode = i == 0 ? 3 : 2;
	}
}

void pit_reset(struct pit *pit)
{
	const struct model_host *host = pit->host;
	struct model_irq irq = pit->irq;

	model_irq_set(&irq, false);
	model_timer_arm(host, MODEL_TIMER_PIT, 0);
	pit_init(pit, host, irq);
}
