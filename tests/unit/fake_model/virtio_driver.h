/* The other side of a virtio device: a driver that sets it up through its registers and uses its rings, split
 * or packed. */
#ifndef TESTS_UNIT_FAKE_MODEL_VIRTIO_DRIVER_H
#define TESTS_UNIT_FAKE_MODEL_VIRTIO_DRIVER_H

#include "model_fake.h"
#include "drivers-vm/driver/virtio_pci.h"

#include <stdlib.h>

#define DRIVER_RAM_BYTES 0x200000u
#define DRIVER_DEVICE    1u  /* its place on the bus */
#define DRIVER_SIZE      16u /* of each queue */
#define DRIVER_RING(q)   (0x1000u * ((q) + 1))
#define DRIVER_AREA      0x800u /* available ring, or the driver's event suppression */
#define DEVICE_AREA      0xC00u /* used ring, or the device's */
#define DRIVER_DATA      0x10000u
#define DRIVER_BASE      PLATFORM_PCI_MMIO_BASE
#define DRIVER_VECTOR    0x40u /* of configuration changes; the queues' follow */

struct driver_queue {
	uint16_t next, used; /* free-running counts of buffers if split; places in the ring if packed */
	bool next_wrap, used_wrap;
	unsigned descs;               /* used up, modulo the size */
	unsigned places[DRIVER_SIZE]; /* packed: of the buffer with this id */
};

struct driver {
	struct fake_model fake;
	struct pci_host bus;
	struct virtio_pci *device;
	bool packed;
	uint8_t *ram;
	struct driver_queue queue[VIRTIO_PCI_QUEUES_MAX];
};

struct driver_part {
	uint64_t gpa;
	uint32_t bytes;
	bool write;
};

static void *driver_guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	struct driver *d = ctx; /* the fake comes first */

	return gpa <= DRIVER_RAM_BYTES && bytes <= DRIVER_RAM_BYTES - gpa ? d->ram + gpa : NULL;
}

/* Everything but the device itself; then the test makes the device, then driver_plug. */
static inline void driver_init(struct driver *d)
{
	memset(d, 0, sizeof(*d));
	fake_model_init(&d->fake);
	d->fake.host.guest_ram = driver_guest_ram;
	d->ram = calloc(1, DRIVER_RAM_BYTES);
	assert_non_null(d->ram);
	pci_host_init(&d->bus);
}

static inline void driver_plug(struct driver *d, struct virtio_pci *device)
{
	d->device = device;
	assert_true(pci_host_plug(&d->bus, DRIVER_DEVICE, &device->function));
}

static inline void driver_done(struct driver *d)
{
	free(d->ram);
}

static inline void driver_set(struct driver *d, uint32_t reg, unsigned size, uint32_t value)
{
	pci_host_mmio_write(&d->bus, DRIVER_BASE + reg, size, value);
}

static inline uint32_t driver_get(struct driver *d, uint32_t reg, unsigned size)
{
	return (uint32_t)pci_host_mmio_read(&d->bus, DRIVER_BASE + reg, size);
}

static inline uint8_t driver_status(struct driver *d)
{
	return (uint8_t)driver_get(d, VIRTIO_COMMON_DEVICE_STATUS, 1);
}

static inline uint64_t driver_features(struct driver *d)
{
	uint64_t features;

	driver_set(d, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	features = driver_get(d, VIRTIO_COMMON_DEVICE_FEATURE, 4);
	driver_set(d, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 1);
	return features | (uint64_t)driver_get(d, VIRTIO_COMMON_DEVICE_FEATURE, 4) << 32;
}

static inline void driver_start_queue(struct driver *d, unsigned queue)
{
	driver_set(d, VIRTIO_COMMON_QUEUE_SELECT, 2, queue);
	driver_set(d, VIRTIO_COMMON_QUEUE_SIZE, 2, DRIVER_SIZE);
	driver_set(d, VIRTIO_COMMON_QUEUE_MSIX_VECTOR, 2, queue + 1);
	driver_set(d, VIRTIO_COMMON_QUEUE_DESC, 4, DRIVER_RING(queue));
	driver_set(d, VIRTIO_COMMON_QUEUE_DRIVER, 4, DRIVER_RING(queue) + DRIVER_AREA);
	driver_set(d, VIRTIO_COMMON_QUEUE_DEVICE, 4, DRIVER_RING(queue) + DEVICE_AREA);
	driver_set(d, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	d->queue[queue] = (struct driver_queue){ .next_wrap = true, .used_wrap = true };
}

/* From reset to DRIVER_OK with `features` of the device, all its queues, and MSI-X. */
static inline void driver_start(struct driver *d, uint64_t features)
{
	uint64_t config = PLATFORM_ECAM_BASE + DRIVER_DEVICE * 0x8000ull;
	uint64_t all = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | (d->packed ? VIRTIO_F_RING_PACKED : 0);

	memset(d->ram, 0, DRIVER_DATA);
	pci_host_mmio_write(&d->bus, config + PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	driver_set(d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	driver_set(d, VIRTIO_COMMON_DEVICE_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		driver_set(d, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, i);
		driver_set(d, VIRTIO_COMMON_DRIVER_FEATURE, 4, (uint32_t)(all >> 32 * i));
	}
	driver_set(d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0x0B);
	assert_true(driver_status(d) & VIRTIO_STATUS_FEATURES_OK);
	pci_host_mmio_write(&d->bus, config + d->device->msix.capability + PCI_MSIX_CONTROL, 2, PCI_MSIX_ENABLE);
	for (unsigned i = 0; i <= d->device->identity.queues; i++) {
		driver_set(d, VIRTIO_PCI_MSIX_OFFSET + 16 * i, 4, 0xFEE00000);
		driver_set(d, VIRTIO_PCI_MSIX_OFFSET + 16 * i + 8, 4, DRIVER_VECTOR + i);
		driver_set(d, VIRTIO_PCI_MSIX_OFFSET + 16 * i + 12, 4, 0);
	}
	driver_set(d, VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2, 0);
	for (unsigned i = 0; i < d->device->identity.queues; i++)
		driver_start_queue(d, i);
	driver_set(d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0x0F);
	assert_int_equal(driver_status(d), 0x0F);
	d->fake.msi_count = 0;
}

static inline void driver_desc(struct driver *d, unsigned queue, unsigned place, const struct driver_part *part, uint16_t flags,
                               uint16_t third)
{
	uint8_t *at = d->ram + DRIVER_RING(queue) + 16 * place;
	uint16_t first = d->packed ? third : flags, second = d->packed ? flags : third;

	memcpy(at, &part->gpa, 8);
	memcpy(at + 8, &part->bytes, 4);
	memcpy(at + 12, &first, 2);
	memcpy(at + 14, &second, 2);
}

static inline unsigned driver_offer_packed(struct driver *d, unsigned queue, const struct driver_part *part, unsigned parts)
{
	struct driver_queue *q = &d->queue[queue];
	unsigned id = q->descs++ % DRIVER_SIZE;

	q->places[id] = parts;
	for (unsigned i = 0; i < parts; i++) {
		uint16_t flags = (uint16_t)((q->next_wrap ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED) |
		                            (part[i].write ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < parts ? VIRTQ_DESC_F_NEXT : 0));
		driver_desc(d, queue, q->next, &part[i], flags, (uint16_t)id);
		if (++q->next == DRIVER_SIZE) {
			q->next = 0;
			q->next_wrap = !q->next_wrap;
		}
	}
	return id;
}

/* Offers a buffer of `parts` parts; returns its id. At most DRIVER_SIZE parts may be on offer at a time. */
static inline unsigned driver_offer(struct driver *d, unsigned queue, const struct driver_part *part, unsigned parts)
{
	struct driver_queue *q = &d->queue[queue];
	uint8_t *avail = d->ram + DRIVER_RING(queue) + DRIVER_AREA;
	unsigned head = q->descs % DRIVER_SIZE;

	if (d->packed)
		return driver_offer_packed(d, queue, part, parts);
	for (unsigned i = 0; i < parts; i++) {
		unsigned place = q->descs++ % DRIVER_SIZE;
		driver_desc(d, queue, place, &part[i],
		            (uint16_t)((part[i].write ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < parts ? VIRTQ_DESC_F_NEXT : 0)),
		            (uint16_t)(q->descs % DRIVER_SIZE));
	}
	memcpy(avail + 4 + 2 * (q->next % DRIVER_SIZE), &(uint16_t){ (uint16_t)head }, 2);
	q->next++;
	memcpy(avail + 2, &q->next, 2);
	return head;
}

static inline void driver_kick(struct driver *d, unsigned queue)
{
	pci_host_port_write(&d->bus, (uint16_t)(PLATFORM_PCI_IO_BASE + VIRTIO_PCI_NOTIFY_MULTIPLIER * queue), 2, queue);
}

static inline int driver_take_packed(struct driver *d, unsigned queue, uint32_t *bytes)
{
	struct driver_queue *q = &d->queue[queue];
	struct virtq_packed_desc desc;

	memcpy(&desc, d->ram + DRIVER_RING(queue) + 16 * q->used, sizeof(desc));
	bool avail = desc.flags & VIRTQ_PACKED_F_AVAIL, used = desc.flags & VIRTQ_PACKED_F_USED;
	if (avail != used || used != q->used_wrap)
		return -1;
	*bytes = desc.len;
	q->used = (uint16_t)(q->used + q->places[desc.id]);
	if (q->used >= DRIVER_SIZE) {
		q->used = (uint16_t)(q->used - DRIVER_SIZE);
		q->used_wrap = !q->used_wrap;
	}
	return desc.id;
}

/* The next buffer that came back: its id and how much was written; -1: none. */
static inline int driver_take(struct driver *d, unsigned queue, uint32_t *bytes)
{
	struct driver_queue *q = &d->queue[queue];
	const uint8_t *ring = d->ram + DRIVER_RING(queue) + DEVICE_AREA;
	uint16_t index;
	uint32_t id;

	if (d->packed)
		return driver_take_packed(d, queue, bytes);
	memcpy(&index, ring + 2, 2);
	if (index == q->used)
		return -1;
	memcpy(&id, ring + 4 + 8 * (q->used % DRIVER_SIZE), 4);
	memcpy(bytes, ring + 8 + 8 * (q->used % DRIVER_SIZE), 4);
	q->used++;
	return (int)id;
}

#endif
