/* Both directions copy bytes through the guest's buffers as they are; nothing in them is looked at. */
#include "drivers-vm/driver/virtio_console.h"

#include <assert.h>

#define COPY_BYTES 256u

static_assert(offsetof(struct virtio_console, device) == 0, "a device is found in its console");

static struct virtio_console *console_of(struct virtio_pci *device)
{
	return (struct virtio_console *)device;
}

/* ---- From the guest ---- */

/* Writes out at most *budget bytes of the buffer at hand; true: all of it is out. */
static bool transmit_part(struct virtio_console *console, size_t *budget)
{
	const struct model_host *host = console->device.host;
	uint8_t copy[COPY_BYTES];

	while (*budget != 0 && console->transmitted < console->transmit_chain.readable_bytes) {
		size_t want = *budget < sizeof(copy) ? *budget : sizeof(copy);
		size_t count = virtqueue_read(&console->transmit_chain, console->transmitted, copy, want);
		host->console_write(host->ctx, console->console, copy, count);
		console->transmitted += count;
		*budget -= count;
	}
	return console->transmitted == console->transmit_chain.readable_bytes;
}

static void transmit(struct virtio_console *console)
{
	struct virtio_pci *device = &console->device;
	size_t budget = VIRTIO_CONSOLE_SLICE_BYTES;

	while (budget != 0 && virtio_pci_is_live(device)) {
		if (!console->transmitting && !virtio_pci_take(device, VIRTIO_CONSOLE_TRANSMIT, &console->transmit_chain))
			break;
		if (!console->transmitting)
			console->transmitted = 0;
		console->transmitting = true;
		if (!transmit_part(console, &budget))
			break;
		console->transmitting = false;
		virtqueue_push(&device->queue[VIRTIO_CONSOLE_TRANSMIT], console->transmit_chain.buffer, 0);
		/* Buffers that hold nothing must come to an end, too. */
		if (budget != 0)
			budget--;
	}
	virtio_pci_signal(device, VIRTIO_CONSOLE_TRANSMIT);
	if (budget == 0)
		device->host->timer_arm(device->host->ctx, console->timer, model_now(device->host) + VIRTIO_CONSOLE_SLICE_NS);
}

void virtio_console_timer(struct virtio_console *console)
{
	transmit(console);
}

/* ---- To the guest ---- */

size_t virtio_console_input(struct virtio_console *console, const uint8_t *bytes, size_t count)
{
	struct virtqueue *queue = &console->device.queue[VIRTIO_CONSOLE_RECEIVE];
	struct virtqueue_chain *chain = &console->receive_chain;
	unsigned buffers = 0;
	size_t taken = 0;

	/* A driver that offers empty buffers as fast as they come back does not hold this up. */
	while (taken < count && buffers++ < VIRTIO_CONSOLE_QUEUE_SIZE && virtio_pci_take(&console->device, VIRTIO_CONSOLE_RECEIVE, chain)) {
		size_t part = virtqueue_write(chain, 0, bytes + taken, count - taken);
		virtqueue_push(queue, chain->buffer, (uint32_t)part);
		taken += part;
	}
	virtio_pci_signal(&console->device, VIRTIO_CONSOLE_RECEIVE);
	console->input_refused = taken < count;
	if (!console->input_refused)
		virtqueue_want_kicks(queue, false);
	return taken;
}

static void offer_input_again(struct virtio_console *console)
{
	const struct model_host *host = console->device.host;

	if (!console->input_refused)
		return;
	console->input_refused = false;
	if (host->console_ready != NULL)
		host->console_ready(host->ctx, console->console);
}

/* ---- The device ---- */

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	if (queue == VIRTIO_CONSOLE_TRANSMIT)
		transmit(console_of(device));
	else
		offer_input_again(console_of(device));
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	const struct virtio_console *console = console_of(device);
	const uint8_t config[VIRTIO_CONSOLE_CONFIG_BYTES] = {
		[VIRTIO_CONSOLE_COLS] = (uint8_t)console->cols,
		[VIRTIO_CONSOLE_COLS + 1] = (uint8_t)(console->cols >> 8),
		[VIRTIO_CONSOLE_ROWS] = (uint8_t)console->rows,
		[VIRTIO_CONSOLE_ROWS + 1] = (uint8_t)(console->rows >> 8),
		[VIRTIO_CONSOLE_MAX_PORTS] = 1,
	};

	return virtio_config_get(config, offset, size);
}

/* 5.3.4: works before the driver is ready, and without queues. */
static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	const uint8_t byte = (uint8_t)value;

	(void)size;
	if (offset == VIRTIO_CONSOLE_EMERG_WRITE)
		device->host->console_write(device->host->ctx, console_of(device)->console, &byte, 1);
}

static void reset(struct virtio_pci *device)
{
	struct virtio_console *console = console_of(device);

	console->transmitting = false;
	device->host->timer_arm(device->host->ctx, console->timer, 0);
}

void virtio_console_adopt(struct virtio_console *console, const struct virtio_console *old)
{
	virtio_pci_adopt(&console->device, &old->device, ~0u);
	console->transmitting = model_flag(&old->transmitting);
	console->transmitted = old->transmitted;
}

/* The buffer that was being written out comes first again; what is out of it is not repeated. */
void virtio_console_resume(struct virtio_console *console)
{
	struct virtqueue_chain *chain = &console->transmit_chain;

	console->transmitting = console->transmitting && virtio_pci_pop(&console->device, VIRTIO_CONSOLE_TRANSMIT, chain);
	if (console->transmitting && console->transmitted > chain->readable_bytes)
		console->transmitted = chain->readable_bytes;
	virtio_pci_resume(&console->device);
}

void virtio_console_init(struct virtio_console *console, const struct model_host *host, unsigned number, unsigned timer, uint16_t cols,
                         uint16_t rows, bool packed)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
	};
	const struct virtio_identity identity = {
		.type = VIRTIO_CONSOLE_TYPE,
		.class_code = VIRTIO_CONSOLE_CLASS,
		.features = VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE,
		.config_bytes = VIRTIO_CONSOLE_CONFIG_BYTES,
		.queues = VIRTIO_CONSOLE_QUEUES,
		.queue_size = VIRTIO_CONSOLE_QUEUE_SIZE,
		.packed = packed,
	};

	console->console = number;
	console->timer = timer;
	console->cols = cols;
	console->rows = rows;
	console->input_refused = false;
	console->transmit_chain.segment = console->transmit_segment;
	console->receive_chain.segment = console->receive_segment;
	virtio_pci_init(&console->device, host, &identity, &ops);
}
