/* Page numbers are read in pieces, each once. One that is not the guest's RAM breaks the device. */
#include "drivers-vm/driver/virtio_balloon.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_balloon, device) == 0, "the transport's callbacks find the device by it");

#define PIECE_PAGES 64u
#define GIVEN       (VIRTIO_BALLOON_BLOCK_PAGES + 1)

static struct virtio_balloon *balloon_of(struct virtio_pci *device)
{
	return (struct virtio_balloon *)device;
}

/* False: the host has not taken it. */
static bool discard(struct virtio_balloon *balloon, void *bytes, uint64_t count)
{
	const struct model_host *host = balloon->device.host;

	return host->discard != NULL && balloon->discards++ < VIRTIO_BALLOON_DISCARDS && host->discard(host->ctx, bytes, count);
}

static uint8_t *ram_of(const struct virtio_balloon *balloon)
{
	return balloon->device.host->guest_ram(balloon->device.host->ctx, 0, VIRTIO_BALLOON_PAGE_BYTES);
}

static void give_block(struct virtio_balloon *balloon, uint64_t i)
{
	if (!discard(balloon, ram_of(balloon) + i * VIRTIO_BALLOON_BLOCK_BYTES, VIRTIO_BALLOON_BLOCK_BYTES))
		return;
	balloon->block[i] = GIVEN;
	balloon->staying--;
}

/*
 * Blocks that the host had no time for, or whose guest had a real device at work. Only while its driver tells of something, and so is
 * there: another kernel may have come that does not know of the balloon yet.
 */
static void give_staying(struct virtio_balloon *balloon)
{
	for (unsigned n = 0; balloon->staying != 0 && n < VIRTIO_BALLOON_SCAN && balloon->discards < VIRTIO_BALLOON_DISCARDS; n++) {
		uint64_t i = balloon->scanned < balloon->blocks ? balloon->scanned : 0;
		balloon->scanned = i + 1;
		if (balloon->block[i] == VIRTIO_BALLOON_BLOCK_PAGES)
			give_block(balloon, i);
	}
}

static void count_page(struct virtio_balloon *balloon, const uint8_t *page, bool inflate)
{
	uint64_t i = (uint64_t)(page - ram_of(balloon)) / VIRTIO_BALLOON_BLOCK_BYTES;

	if (!(balloon->device.negotiated & VIRTIO_BALLOON_F_MUST_TELL_HOST) || i >= balloon->blocks)
		return;
	uint16_t *count = &balloon->block[i];
	if (inflate && *count < VIRTIO_BALLOON_BLOCK_PAGES) {
		if (++*count == VIRTIO_BALLOON_BLOCK_PAGES) {
			balloon->staying++;
			give_block(balloon, i);
		}
	} else if (!inflate && *count != 0) {
		balloon->staying -= *count == VIRTIO_BALLOON_BLOCK_PAGES;
		*count = (uint16_t)(*count == GIVEN ? VIRTIO_BALLOON_BLOCK_PAGES - 1 : *count - 1u);
	}
}

static bool take_pages(struct virtio_balloon *balloon, const struct virtqueue_chain *chain, bool inflate)
{
	const struct model_host *host = balloon->device.host;
	uint32_t page[PIECE_PAGES];
	size_t bytes;

	if (chain->readable_bytes > VIRTIO_BALLOON_REQUEST_BYTES || chain->readable_bytes % sizeof(*page) != 0)
		return false;
	for (uint64_t at = 0; (bytes = virtqueue_read(chain, at, page, sizeof(page))) != 0; at += bytes) {
		for (size_t i = 0; i < bytes / sizeof(*page); i++) {
			uint64_t gpa = (uint64_t)page[i] * VIRTIO_BALLOON_PAGE_BYTES;
			const uint8_t *at_host = host->guest_ram(host->ctx, gpa, VIRTIO_BALLOON_PAGE_BYTES);
			if (at_host == NULL)
				return false;
			count_page(balloon, at_host, inflate);
			++*(inflate ? &balloon->inflated : &balloon->deflated);
		}
	}
	return true;
}

/* 5.5.6.7: the buffer is the free memory itself, which the guest does not use until it has the buffer back. */
static void take_report(struct virtio_balloon *balloon, const struct virtqueue_chain *chain)
{
	for (unsigned i = chain->readable; i < chain->readable + chain->writable; i++)
		(void)discard(balloon, chain->segment[i].bytes, chain->segment[i].count); /* what stays is reported again some day */
}

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	struct virtio_balloon *balloon = balloon_of(device);
	struct virtqueue_chain chain = { .segment = balloon->segment };
	bool pages = queue == VIRTIO_BALLOON_INFLATE || queue == VIRTIO_BALLOON_DEFLATE;
	unsigned taken = 0;

	balloon->discards = 0;
	while (taken++ < VIRTIO_BALLOON_SLICE && virtio_pci_take(device, queue, &chain)) {
		if (pages && !take_pages(balloon, &chain, queue == VIRTIO_BALLOON_INFLATE)) {
			virtio_pci_fail(device);
			return;
		}
		if (!pages)
			take_report(balloon, &chain);
		virtqueue_push(&device->queue[queue], chain.buffer, 0);
	}
	give_staying(balloon);
	virtio_pci_signal(device, queue);
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	const struct virtio_balloon *balloon = balloon_of(device);
	const uint32_t words[2] = { balloon->target_pages, balloon->actual_pages };

	return virtio_config_get((const uint8_t *)words, offset, size);
}

static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	if (offset == VIRTIO_BALLOON_ACTUAL && size == 4)
		balloon_of(device)->actual_pages = value;
}

static void reset(struct virtio_pci *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	balloon->actual_pages = 0;
	balloon->inflated = balloon->deflated = 0;
	balloon->staying = balloon->scanned = 0;
	if (balloon->blocks != 0)
		memset(balloon->block, 0, balloon->blocks * sizeof(*balloon->block));
}

void virtio_balloon_set_blocks(struct virtio_balloon *balloon, uint16_t *block, uint64_t blocks)
{
	balloon->block = block;
	balloon->blocks = block != NULL ? blocks : 0;
}

void virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t target_pages)
{
	if (balloon->target_pages == target_pages)
		return;
	balloon->target_pages = target_pages;
	virtio_pci_config_changed(&balloon->device);
}

void virtio_balloon_adopt(struct virtio_balloon *balloon, const struct virtio_balloon *old)
{
	virtio_pci_adopt(&balloon->device, &old->device, ~0u);
	balloon->actual_pages = old->actual_pages;
	balloon->inflated = old->inflated;
	balloon->deflated = old->deflated;
}

void virtio_balloon_init(struct virtio_balloon *balloon, const struct model_host *host, uint32_t target_pages, bool packed)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
	};
	const struct virtio_identity identity = {
		.type = VIRTIO_BALLOON_TYPE,
		.class_code = VIRTIO_BALLOON_CLASS,
		.features = VIRTIO_BALLOON_F_MUST_TELL_HOST | VIRTIO_BALLOON_F_DEFLATE_ON_OOM | VIRTIO_BALLOON_F_REPORTING,
		.config_bytes = VIRTIO_BALLOON_CONFIG_BYTES,
		.queues = VIRTIO_BALLOON_QUEUES,
		.queue_size = VIRTIO_BALLOON_QUEUE_SIZE,
		.packed = packed,
	};

	balloon->target_pages = target_pages;
	virtio_pci_init(&balloon->device, host, &identity, &ops);
}
