/*
 * The 82574 driver against a card in memory that does what each test wants of it.
 *
 * UNIT_SOURCES: drivers-vm/driver/host_device_memory.c
 * UNIT_SOURCES: drivers-vm/driver/host_e1000e.c drivers-vm/driver/host_e1000e_ring.c drivers-vm/driver/host_nic.c
 * UNIT_SOURCES: drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c drivers-vm/driver/io_segment.c
 * UNIT_SOURCES: tests/unit/fake_host_pci/device.c
 * UNIT_FLAGS: -iquote tests/unit/fake_mmio -iquote tests/unit/fake_host_pci -Itests/unit
 * UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#include "cmocka_all.h"
#include "driver_failures.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/host_e1000e.h"
#include "drivers-vm/runtime/service.h"

#define PAGE      4096u
#define BAR_BYTES 0x20000u
#define SECOND    1000000000ull
#define ENTRIES   E1000E_ENTRIES

enum {
	CTRL = 0x00,
	STATUS = 0x08,
	ICR = 0xC0,
	IMS = 0xD0,
	RCTL = 0x100,
	TCTL = 0x400,
	RDBAL = 0x2800,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDT = 0x3818,
	RAL0 = 0x5400,
	RAH0 = 0x5404
};

static struct {
	uint8_t bar[BAR_BYTES] __attribute__((aligned(8)));
	unsigned received, sent; /* descriptors that the card is done with */
	unsigned resets;
	bool gone, never_resets;
} hw;

static unsigned seed;
static struct host_pci pci;
static struct host_device *device;
static struct net_switch sw;
static struct net_port listener;
static uint8_t heard[4096];
static unsigned heard_bytes, heard_frames, released;
/* ---- The card ---- */

static uint32_t *at(unsigned offset)
{
	return (uint32_t *)(hw.bar + offset);
}

static void power_up(void)
{
	memset(hw.bar, 0, sizeof(hw.bar));
	*at(STATUS) = 2 | 2 << 6; /* link, 1000 Mbit/s */
	*at(RAL0) = 0xAA005452;
	*at(RAH0) = 1u << 31 | 0x01BB;
	hw.received = hw.sent = 0;
}

uint32_t fake_mmio_read(const volatile uint8_t *base, uint64_t offset)
{
	assert_true(base == hw.bar && offset + 4 <= BAR_BYTES);
	if (hw.gone)
		return UINT32_MAX;
	if (seed != 0 && rand_r(&seed) % 16 == 0)
		return (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
	uint32_t v = *at((unsigned)offset);
	if (offset == ICR)
		*at(ICR) = 0;
	return v;
}

void fake_mmio_write(volatile uint8_t *base, uint64_t offset, uint32_t value)
{
	assert_true(base == hw.bar && offset + 4 <= BAR_BYTES);
	if (offset == CTRL && value & 1u << 26) {
		uint32_t status = *at(STATUS);
		hw.resets++;
		power_up();
		*at(STATUS) = status;
		*at(CTRL) = hw.never_resets ? value : 0;
	} else if (offset == ICR) {
		*at(ICR) &= ~value;
	} else {
		*at((unsigned)offset) = value;
	}
}

static uint8_t *ring(unsigned base, unsigned i)
{
	return (uint8_t *)(*at(base) | (uint64_t)*at(base + 4) << 32) + 16 * i;
}

/* A frame of `bytes` for the listener comes, in descriptors of `most` bytes, the last with `errors`. False: no buffers. */
static bool arrive(unsigned bytes, unsigned most, uint32_t errors)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x12, 0x34 };

	assert_true(fake_dma && *at(RCTL) & 2);
	for (unsigned done = 0; done < bytes;) {
		struct e1000e_receive *d = (void *)ring(RDBAL, hw.received);
		unsigned n = 0;
		if (hw.received == *at(RDT))
			return false;
		for (; n < most && done < bytes; n++, done++)
			((uint8_t *)d->address)[n] = done < sizeof(addresses) ? addresses[done] : (uint8_t)(done * 3);
		d->bytes = (uint16_t)n;
		d->status = done < bytes ? 1 : 3 | errors << 8;
		hw.received = (hw.received + 1) % ENTRIES;
	}
	*at(ICR) |= 1 << 7;
	return true;
}

/* The next frame that is to be sent: its bytes to `to`, its context, if any, to *context. 0: there is none. */
static unsigned transmit(uint8_t *to, struct e1000e_transmit *context)
{
	unsigned bytes = 0, count;

	memset(context, 0, sizeof(*context));
	while (hw.sent != *at(TDT)) {
		struct e1000e_transmit *d = (void *)ring(TDBAL, hw.sent);
		hw.sent = (hw.sent + 1) % ENTRIES;
		assert_true(d->command & 1u << 29);
		if (!(d->command & 1u << 20)) {
			*context = *d;
			assert_int_equal(bytes, 0);
			continue;
		}
		count = d->command & 0xFFFFF;
		assert_true(count != 0 && count <= PAGE - d->address % PAGE);
		memcpy(to + bytes, (void *)d->address, count);
		bytes += count;
		assert_int_equal(!!(d->status & 1 << 9), context->command != 0);
		if (d->command & 1u << 24) {
			assert_true(d->command & 1u << 27 && d->command & 1u << 25);
			d->status |= 1;
			*at(ICR) |= 1;
			return bytes;
		}
	}
	assert_int_equal(bytes, 0);
	return 0;
}

/* ---- What the driver stands on ---- */

uint64_t service_tsc(void)
{
	return fake_now += 1000;
}

uint32_t host_pci_read(const struct host_pci *p, unsigned offset, unsigned bytes)
{
	(void)p, (void)bytes;
	return offset == 0 ? 0x10D38086 : 0;
}

bool host_pci_bind_irq(const struct host_pci *p, unsigned index, uint32_t vcpu, unsigned bit)
{
	(void)p, (void)vcpu, (void)bit;
	return index == 0;
}

uint64_t host_pci_dma_address(const struct host_pci *p, const void *address)
{
	(void)p;
	return (uintptr_t)address;
}

/* ---- Set-up ---- */

static int set_up(void **state)
{
	(void)state;
	memset(&hw, 0, sizeof(hw));
	power_up();
	seed = 0;
	pci = (struct host_pci){ .rid = 0x20, .same_addresses = true, .bar[0] = hw.bar, .bar_bytes[0] = sizeof(hw.bar) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	host_nic_forget_all();
	free(device);
	device = NULL;
	driver_memory_forget();
	return 0;
}

static bool starts(void)
{
	tear_down(NULL);
	device = host_e1000e_driver.start(&pci, 32);
	host_device_started(device != NULL);
	return device != NULL;
}

static void hear(struct net_port *port, struct net_frame *frame)
{
	(void)port;
	heard_bytes = frame->bytes;
	heard_frames++;
	assert_true(frame->bytes <= sizeof(heard));
	io_segments_read(frame->segment, frame->segments, 0, heard, frame->bytes);
}

/* The card starts and is an uplink of a switch with one listener. */
static struct net_port *join(void)
{
	static const struct net_port_ops hear_ops = { .receive = hear };
	struct channel_message m = { .kind = CHANNEL_UPLINK, .uplink = { .bridge = 1, .device = "52:54:00:aa:bb:01" } };

	assert_true(starts());
	memset(&sw, 0, sizeof(sw));
	memset(&listener, 0, sizeof(listener));
	heard_frames = released = 0;
	listener.ops = &hear_ops;
	listener.policy = (struct net_policy){ .bridge = 1, .mac = { 2, 0, 0, 0, 0, 1 } };
	assert_true(net_switch_add(&sw, &listener));
	fake_log[0] = '\0';
	host_nic_join(&sw, &m);
	assert_string_equal(fake_log, "");
	return sw.port[1];
}

/* ---- The tests ---- */

static void start__well_behaved__offers_the_card(void **state)
{
	(void)state;
	assert_true(host_e1000e_driver.matches(&pci));
	assert_true(starts());
	assert_string_equal(fake_log, "e1000e network card 52:54:00:aa:bb:01, link up");
	assert_string_equal(fake_log_link, "link up, 1000 Mbit/s");
	assert_true(fake_dma && *at(IMS) != 0 && *at(RDT) == ENTRIES - 1);
}

static void start__misbehaving__is_refused_with_dma_off(void **state)
{
	(void)state;
	hw.gone = true;
	assert_false(starts());
	hw.gone = false;
	hw.never_resets = true;
	assert_false(starts());
	assert_string_equal(fake_log, "e1000e: it cannot be reset");
	hw.never_resets = false;
	pci.bar_bytes[0] = 0x1000;
	assert_false(starts());
	pci.bar[0] = NULL;
	assert_false(starts());
	assert_string_equal(fake_log, "e1000e: it has no registers");
	assert_false(fake_dma);
}

static void receive__frames_of_all_lengths__reach_the_switch(void **state)
{
	(void)state;
	join();
	for (unsigned i = 1; i <= 300; i++) {
		assert_true(arrive(60 + i, 2048, 0));
		device->ops->interrupt(device);
		assert_int_equal(heard_frames, i);
		assert_int_equal(heard_bytes, 60 + i);
		for (unsigned b = 14; b < 60 + i; b++)
			assert_int_equal(heard[b], (uint8_t)(b * 3));
	}
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		assert_true(arrive(100, 2048, 0));
	assert_false(arrive(100, 2048, 0)); /* it is full */
	device->ops->interrupt(device);
	assert_int_equal(heard_frames, 300 + ENTRIES - 1);
	assert_true(arrive(100, 2048, 0));
}

static void receive__bad_frames__are_dropped(void **state)
{
	(void)state;
	join();
	for (unsigned error = 1; error < 256; error <<= 1) {
		unsigned before = heard_frames;
		assert_true(arrive(100, 2048, error));
		device->ops->interrupt(device);
		assert_int_equal(heard_frames - before, error == 1 << 5 || error == 1 << 6 || error == 1 << 3); /* checksums are not ours */
	}
	unsigned before = heard_frames;
	assert_true(arrive(5000, 2048, 0)); /* in three pieces */
	assert_true(arrive(13, 2048, 0));
	device->ops->interrupt(device);
	assert_int_equal(heard_frames, before);
	assert_true(arrive(100, 2048, 0));
	device->ops->interrupt(device);
	assert_int_equal(heard_frames, before + 1);
}

static void receive__impossible_length__card_is_given_up(void **state)
{
	(void)state;
	join();
	struct e1000e_receive *d = (void *)ring(RDBAL, 0);
	d->bytes = 2049;
	d->status = 3;
	device->ops->interrupt(device);
	assert_int_equal(heard_frames, 0);
	assert_false(fake_dma);
	assert_string_equal(fake_log, "given up: it receives frames of no possible length");
	device->ops->interrupt(device);
	assert_int_equal(device->ops->check(device, fake_now), 0);
}

static void released_one(struct net_frame *frame)
{
	(void)frame;
	released++;
}

static struct net_frame frames[200];
static struct io_segment segments[200][12];
static uint8_t data[4096] __attribute__((aligned(4096)));

/* In `count` pieces. */
static void send(unsigned i, unsigned bytes, unsigned count, bool held, bool csum)
{
	struct net_frame *frame = &frames[i];
	struct net_port *port = sw.port[1];
	unsigned offset = 0;

	*frame = (struct net_frame){ .segment = segments[i],
		                     .segments = count,
		                     .bytes = bytes,
		                     .references = 1,
		                     .done = held ? released_one : NULL,
		                     .csum_partial = csum,
		                     .csum_start = 34,
		                     .csum_offset = 16 };
	for (unsigned s = 0; s < count; s++) {
		unsigned n = s + 1 == count ? bytes - offset : bytes / count;
		segments[i][s] = (struct io_segment){ data + offset, n };
		offset += n;
	}
	port->ops->receive(port, frame);
	port->ops->flush(port);
	net_frame_release(frame);
}

static void send__held_and_copied__reach_the_card_and_are_released(void **state)
{
	struct e1000e_transmit context;
	uint8_t got[4096];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11);
	join();
	for (unsigned i = 0; i < 400; i++) {
		bool held = i & 1, csum = i & 2;
		unsigned bytes = 60 + i * 3, count = 1 + i % 12;
		unsigned before = released;
		send(0, bytes, count, held, csum);
		assert_int_equal(released - before, held && count > 8);
		assert_int_equal(transmit(got, &context), bytes);
		assert_memory_equal(got, data, bytes);
		assert_int_equal(context.command, csum ? 1u << 29 | 1u << 24 : 0);
		if (csum)
			assert_int_equal(context.address >> 32, 34 | 50 << 8);
		device->ops->interrupt(device);
		assert_int_equal(released - before, held);
	}
	assert_int_equal(sw.port[1]->counts.dropped, 0);
	send(0, 1519, 1, true, false); /* more than the wire carries */
	assert_int_equal(sw.port[1]->counts.dropped, 1);
	assert_int_equal(transmit(got, &context), 0);
}

static void send__ring_full__is_dropped(void **state)
{
	struct e1000e_transmit context;
	uint8_t got[4096];

	(void)state;
	join();
	for (unsigned i = 0; i < 100; i++)
		send(i, 90, 3, true, false);
	assert_int_equal(sw.port[1]->counts.dropped, 100 - (ENTRIES - 1) / 3);
	assert_int_equal(released, 100 - (ENTRIES - 1) / 3);
	while (transmit(got, &context) != 0)
		;
	device->ops->interrupt(device);
	assert_int_equal(released, 100);
	send(0, 90, 3, true, false);
	assert_int_equal(transmit(got, &context), 90);
}

static void set_link(bool up)
{
	*at(STATUS) = up ? 2 | 1 << 6 : 0;
	*at(ICR) |= 1 << 2;
	device->ops->interrupt(device);
}

static void interrupt__link_goes__frames_come_back_and_none_is_sent(void **state)
{
	struct e1000e_transmit context;
	uint8_t got[4096];
	unsigned resets;

	(void)state;
	join();
	for (unsigned round = 0; round < 3; round++) {
		resets = hw.resets;
		released = 0;
		for (unsigned i = 0; i < 10; i++)
			send(i, 90, 1, true, false);
		set_link(false);
		assert_string_equal(fake_log_link, "link down");
		assert_int_equal(hw.resets, resets + 1);
		assert_int_equal(released, 0); /* it may still read them */
		uint64_t next = device->ops->check(device, fake_now);
		assert_in_range(next, fake_now, fake_now + SECOND / 10);
		fake_now = next;
		device->ops->check(device, fake_now);
		assert_int_equal(released, 10);
		send(0, 90, 1, true, false);
		assert_int_equal(transmit(got, &context), 0);
		assert_int_equal(released, 11);
		set_link(true);
		assert_string_equal(fake_log_link, "link up, 100 Mbit/s");
		send(0, 90, 1, true, false);
		assert_int_equal(transmit(got, &context), 90);
		device->ops->interrupt(device);
		assert_int_equal(released, 12);
		set_link(false); /* nothing to be sent */
		set_link(true);
		assert_int_equal(hw.resets, resets + 1);
	}
	assert_true(arrive(100, 2048, 0));
	device->ops->interrupt(device);
	assert_int_equal(heard_frames, 1);
}

static void check__nothing_is_sent__card_is_reset_or_given_up(void **state)
{
	(void)state;
	join();
	for (unsigned i = 0; i < 2; i++) {
		released = 0;
		send(0, 90, 1, true, false);
		fake_now += 6 * SECOND;
		hw.never_resets = i == 1;
		device->ops->check(device, fake_now);
		assert_string_equal(fake_log, "it has not sent a frame for 5 s: reset");
		assert_int_equal(released, 0);
		fake_now += SECOND;
		device->ops->check(device, fake_now);
		assert_int_equal(released, 1);
		assert_int_equal(fake_dma, i == 0);
	}
	assert_string_equal(fake_log, "given up: it cannot be reset");
}

static void interrupt__card_gone__is_given_up(void **state)
{
	(void)state;
	join();
	send(0, 90, 1, true, false);
	hw.gone = true;
	device->ops->interrupt(device);
	assert_int_equal(released, 1);
	assert_false(fake_dma);
	send(0, 90, 1, true, false);
	assert_int_equal(released, 2);
}

/* Registers and rings that hold anything now and then: each frame comes back once. */
static void interrupt__card_lies__all_frames_come_back(void **state)
{
	(void)state;
	for (unsigned round = 1; round <= 40; round++) {
		power_up();
		hw.never_resets = false;
		struct net_port *port = join();
		uint8_t *rings = (uint8_t *)((struct e1000e *)device)->receive;
		seed = round;
		unsigned sent = 0;
		for (unsigned i = 0; i < 2000; i++) {
			send(sent++ % 200, 60 + i % 1500, 1 + i % 8, true, i & 1);
			if (i % 3 == 0)
				rings[(unsigned)rand_r(&seed) % PAGE] = (uint8_t)rand_r(&seed);
			fake_now += SECOND / 100;
			device->ops->interrupt(device);
			device->ops->check(device, fake_now);
			if (sent % 200 == 0) { /* before the frames' memory is used again */
				unsigned kept = seed;
				seed = 0;
				for (unsigned n = 0; n < 100 && released < sent; n++, fake_now += SECOND)
					port->ops->poll(port);
				seed = kept;
				assert_int_equal(released, sent);
			}
		}
		seed = 0;
	}
}

static void power_up_all(void)
{
	set_up(NULL);
}

static void check_card(struct host_device *started)
{
	assert_true(fake_dma && *at(RDT) == ENTRIES - 1);
	assert_int_equal(((struct e1000e *)started)->nic.mac[5], 1);
}

static void start__an_allocation_fails__is_said_and_leaves_nothing(void **state)
{
	const struct driver_failures f = { power_up_all, &host_e1000e_driver, &pci, 32, check_card, host_nic_forget_all };

	(void)state;
	assert_true(driver_failures_each(&f) > 64);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(start__well_behaved__offers_the_card),
		CASE(start__misbehaving__is_refused_with_dma_off),
		CASE(receive__frames_of_all_lengths__reach_the_switch),
		CASE(receive__bad_frames__are_dropped),
		CASE(receive__impossible_length__card_is_given_up),
		CASE(send__held_and_copied__reach_the_card_and_are_released),
		CASE(send__ring_full__is_dropped),
		CASE(interrupt__link_goes__frames_come_back_and_none_is_sent),
		CASE(check__nothing_is_sent__card_is_reset_or_given_up),
		CASE(interrupt__card_gone__is_given_up),
		CASE(interrupt__card_lies__all_frames_come_back),
		CASE(start__an_allocation_fails__is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
