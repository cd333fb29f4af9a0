/* See host_virtio.h. Where the structures are comes from the device: each must lie in its BAR. */
#include "drivers-vm/driver/host_virtio.h"

#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#define VENDOR_VIRTIO     0x1AF4u
#define DEVICE_MODERN     0x1040u /* + type */
#define CAPABILITY_VENDOR 0x09u
#define CAPABILITIES_MAX  32u
#define RESET_NS          1000000000ull

/* 4.1.4: in the capability. */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_BYTES = 12, CAP_MULTIPLIER = 16 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_DEVICE = 4 };

/* 4.1.4.3: in the common configuration. */
enum {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0C,
	CONFIG_VECTOR = 0x10,
	STATUS = 0x14,
	GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1A,
	QUEUE_ENABLE = 0x1C,
	QUEUE_NOTIFY_OFFSET = 0x1E,
	QUEUE_DESCRIPTORS = 0x20,
	QUEUE_DRIVER = 0x28,
	QUEUE_DEVICE = 0x30,
	COMMON_BYTES = 0x38
};
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER      2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u

static bool fail(const struct host_virtio *v, const char *what)
{
	host_device_log(v->pci, "virtio: %s", what);
	return false;
}

bool host_virtio_matches(const struct host_pci *pci, unsigned type)
{
	static const uint16_t transitional[] = { [1] = 0x1000, [2] = 0x1001 };
	uint32_t id = host_pci_read(pci, 0, 4);

	return (id & 0xFFFF) == VENDOR_VIRTIO &&
	       (id >> 16 == DEVICE_MODERN + type ||
	        (type < sizeof(transitional) / sizeof(transitional[0]) && id >> 16 == transitional[type]));
}

/* The structure that the capability at `cap` describes; NULL: it does not lie in a BAR. */
static volatile uint8_t *structure(const struct host_pci *pci, unsigned cap, uint64_t *bytes)
{
	uint32_t bar = host_pci_read(pci, cap + CAP_BAR, 1), offset = host_pci_read(pci, cap + CAP_OFFSET, 4);

	*bytes = host_pci_read(pci, cap + CAP_BYTES, 4);
	if (bar >= CHANNEL_BARS || pci->bar[bar] == NULL || offset % 4 != 0 || offset > pci->bar_bytes[bar] ||
	    *bytes > pci->bar_bytes[bar] - offset)
		return NULL;
	return pci->bar[bar] + offset;
}

static bool find_structures(struct host_virtio *v)
{
	unsigned cap = host_pci_capability(v->pci, CAPABILITY_VENDOR, 0);
	uint64_t bytes;

	for (unsigned i = 0; cap != 0 && i < CAPABILITIES_MAX; i++) {
		volatile uint8_t *at = structure(v->pci, cap, &bytes);
		uint32_t type = host_pci_read(v->pci, cap + CAP_TYPE, 1);
		unsigned next = host_pci_read(v->pci, cap + 1, 1) & 0xFC;
		if (type == TYPE_COMMON && v->common == NULL && bytes >= COMMON_BYTES)
			v->common = at;
		if (type == TYPE_NOTIFY && v->notify == NULL && at != NULL) {
			v->notify = at;
			v->notify_bytes = bytes;
			v->notify_multiplier = host_pci_read(v->pci, cap + CAP_MULTIPLIER, 4);
		}
		if (type == TYPE_DEVICE && v->config == NULL && at != NULL) {
			v->config = at;
			v->config_bytes = bytes;
		}
		cap = next != 0 ? host_pci_capability(v->pci, CAPABILITY_VENDOR, next) : 0;
	}
	return v->common != NULL && v->notify != NULL;
}

static void add_status(struct host_virtio *v, uint8_t bits)
{
	mmio_write8(v->common, STATUS, mmio_read8(v->common, STATUS) | bits);
}

static bool reset(struct host_virtio *v)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(RESET_NS);

	mmio_write8(v->common, STATUS, 0);
	while (mmio_read8(v->common, STATUS) != 0)
		if (service_tsc() > until)
			return fail(v, "it cannot be reset");
	return true;
}

static bool negotiate(struct host_virtio *v, uint64_t wanted, uint64_t needed)
{
	uint64_t offered = 0;

	for (uint32_t i = 0; i < 2; i++) {
		mmio_write32(v->common, DEVICE_FEATURE_SELECT, i);
		offered |= (uint64_t)mmio_read32(v->common, DEVICE_FEATURE) << 32 * i;
	}
	if (v->pci->same_addresses && !(offered & HOST_VIRTIO_F_ACCESS_PLATFORM))
		return fail(v, "not used: it goes round the IOMMU (in QEMU: give it iommu_platform=on)");
	needed |= HOST_VIRTIO_F_VERSION_1;
	v->features = offered & (wanted | needed | HOST_VIRTIO_F_ACCESS_PLATFORM);
	if (needed & ~v->features)
		return fail(v, "it lacks a feature that the driver needs");
	for (uint32_t i = 0; i < 2; i++) {
		mmio_write32(v->common, DRIVER_FEATURE_SELECT, i);
		mmio_write32(v->common, DRIVER_FEATURE, (uint32_t)(v->features >> 32 * i));
	}
	add_status(v, STATUS_FEATURES_OK);
	return (mmio_read8(v->common, STATUS) & STATUS_FEATURES_OK) || fail(v, "it refuses its own features");
}

bool host_virtio_open(struct host_virtio *v, const struct host_pci *pci, uint64_t wanted, uint64_t needed)
{
	*v = (struct host_virtio){ .pci = pci };
	host_pci_enable(pci, true, false);
	if (!find_structures(v))
		return fail(v, "it has no modern interface");
	if (!reset(v))
		return false;
	add_status(v, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	if (!negotiate(v, wanted, needed))
		return false;
	mmio_write16(v->common, CONFIG_VECTOR, HOST_VIRTIO_NO_VECTOR);
	host_pci_enable(pci, true, true);
	return true;
}

bool host_virtio_make_queue(struct host_virtio *v, struct host_virtqueue *q, uint16_t number, uint16_t entries, uint16_t vector)
{
	uint8_t *page = host_device_page();

	mmio_write16(v->common, QUEUE_SELECT, number);
	uint16_t most = mmio_read16(v->common, QUEUE_SIZE);
	uint64_t at = (uint64_t)mmio_read16(v->common, QUEUE_NOTIFY_OFFSET) * v->notify_multiplier;
	while (entries > most)
		entries /= 2;
	if (page == NULL)
		return fail(v, "no memory for a queue");
	if (entries == 0 || at + 2 > v->notify_bytes)
		return fail(v, "a queue cannot be made");
	uint64_t address = host_pci_dma_address(v->pci, page);
	host_virtqueue_init(q, page, number, entries, v->notify + at);
	mmio_write16(v->common, QUEUE_SIZE, entries);
	mmio_write16(v->common, QUEUE_VECTOR, vector);
	if (mmio_read16(v->common, QUEUE_VECTOR) != vector)
		return fail(v, "it has no interrupt for a queue");
	mmio_write64(v->common, QUEUE_DESCRIPTORS, address);
	mmio_write64(v->common, QUEUE_DRIVER, address + HOST_VIRTQ_DRIVER_AREA);
	mmio_write64(v->common, QUEUE_DEVICE, address + HOST_VIRTQ_DEVICE_AREA);
	mmio_write16(v->common, QUEUE_ENABLE, 1);
	return true;
}

bool host_virtio_watch_config(struct host_virtio *v, uint16_t vector)
{
	mmio_write16(v->common, CONFIG_VECTOR, vector);
	return mmio_read16(v->common, CONFIG_VECTOR) == vector;
}

void host_virtio_start(struct host_virtio *v)
{
	add_status(v, STATUS_DRIVER_OK);
}

static uint64_t read_config(const struct host_virtio *v, unsigned offset, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return mmio_read8(v->config, offset);
	case 2:
		return mmio_read16(v->config, offset);
	case 4:
		return mmio_read32(v->config, offset);
	default:
		return mmio_read64(v->config, offset);
	}
}

uint64_t host_virtio_config(const struct host_virtio *v, unsigned offset, unsigned bytes)
{
	uint64_t value;
	uint8_t before;
	unsigned tries = 0;

	if (v->config == NULL || offset + bytes > v->config_bytes)
		return 0;
	do {
		before = mmio_read8(v->common, GENERATION);
		value = read_config(v, offset, bytes);
	} while (bytes == 8 && before != mmio_read8(v->common, GENERATION) && ++tries < 100);
	return value;
}
