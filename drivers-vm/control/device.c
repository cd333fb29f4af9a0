/*
 * See device.h. PCI Express Base Specification 5.0, 7.2.2 Enhanced Configuration Access Mechanism; PCI Local Bus Specification 3.0, 6
 * Configuration Space. What configuration space reads as comes from hardware: numbers are masked or checked before they are used.
 */
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/firmware.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/recover.h"
#include <string.h>

#define ECAM_GPA      DEVICES_CONFIG_GPA /* bus b at + b MiB */
#define DEVICES_MAX   CHANNEL_DEVICES
#define BUS_BYTES     0x100000u
#define FUNCTION(rid) (ECAM_GPA + ((uint64_t)(rid) << 12))

enum { PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER = 0x0C, PCI_BAR = 0x10, PCI_BUSES = 0x18, PCI_CAPABILITIES = 0x34 };
#define COMMAND_DECODE     3u /* memory and I/O */
#define COMMAND_MASTER     4u
#define RESET_NS           100000000ull
#define BAR_IO             1u
#define BAR_64             4u
#define CLASS_STORAGE      0x01u
#define CLASS_NETWORK      0x02u
#define CLASS_IOMMU        0x0806u
#define WATCHDOG_ID        0x25AB8086u /* Intel 6300ESB */
#define CAPABILITY_MSI     0x05u
#define CAPABILITY_EXPRESS 0x10u
#define EXPRESS_HAS_FLR    (1u << 28) /* Device Capabilities, at 4 */
#define EXPRESS_FLR        (1u << 15) /* Device Control, at 8 */
#define MSI_ENABLE         (1u << 16)
#define MSI_MULTIPLE       (7u << 20)
#define MSI_64BIT          (1u << 23)

struct host_device {
	uint16_t rid;
	bool is_network; /* by its class */
	hilum_handle_t handle, config_page;
	hilum_handle_t bar[CHANNEL_BARS];                           /* 0: none */
	uint64_t bar_bytes[CHANNEL_BARS], bar_offset[CHANNEL_BARS]; /* the BAR begins there in the first page */
	uint64_t faults;                                            /* told so far */
};

static struct host_device devices[DEVICES_MAX];
static unsigned device_count;
static uint64_t ecam_base;
static uint8_t first_bus, last_bus;
static bool bus_seen[256];
static uint32_t assign_flags;
static enum config_devices wanted;
static bool wants_watchdog;

static uint32_t read32(uint16_t rid, unsigned offset)
{
	return *(volatile uint32_t *)(FUNCTION(rid) + offset);
}

static void write32(uint16_t rid, unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(FUNCTION(rid) + offset) = value;
}

static int64_t device_memory(uint64_t hpa, uint64_t bytes)
{
	return hc(HC_MEMORY_CREATE, HILUM_HANDLE_HOST, bytes, HILUM_MEMORY_DEVICE, hpa);
}

static void complain(const struct host_device *d, const char *what, int64_t error)
{
	service_log("device %02x:%02x.%x: %s: %s", d->rid >> 8, d->rid >> 3 & 31, d->rid & 7, what, control_error(error));
}

/* The first capability `id`; 0: none. */
static unsigned find_capability(uint16_t rid, uint32_t id)
{
	unsigned at = read32(rid, PCI_CAPABILITIES) & 0xFC;

	for (unsigned i = 0; at >= 0x40 && i < 48; i++, at = read32(rid, at) >> 8 & 0xFC)
		if ((read32(rid, at) & 0xFF) == id)
			return at;
	return 0;
}

/* ---- Finding ---------------------------------------------------------------------------------------------------------------------- */

/* MCFG of PCI Firmware Specification 3.2, 4.1.2: entries of 16 bytes from offset 44. */
static bool find_ecam(void)
{
	uint64_t bytes;
	const uint8_t *mcfg = firmware_mcfg(&bytes);

	for (uint64_t at = 44; mcfg != NULL && at + 16 <= bytes; at += 16) {
		uint16_t segment;
		memcpy(&ecam_base, mcfg + at, 8);
		memcpy(&segment, mcfg + at + 8, 2);
		first_bus = mcfg[at + 10];
		last_bus = mcfg[at + 11];
		if (segment == 0 && first_bus <= last_bus && (ecam_base & (BUS_BYTES - 1)) == 0)
			return true;
	}
	return false;
}

/* One BAR: its memory object, if it is a memory BAR with an address. Returns how many registers it takes. */
static unsigned size_bar(struct host_device *d, unsigned i)
{
	unsigned at = PCI_BAR + 4 * i;
	uint32_t low = read32(d->rid, at), high = 0, mask_high = UINT32_MAX;
	bool wide = !(low & BAR_IO) && (low & 6) == BAR_64 && i + 1 < CHANNEL_BARS;

	write32(d->rid, at, UINT32_MAX);
	uint32_t mask_low = read32(d->rid, at);
	write32(d->rid, at, low);
	if (wide) {
		high = read32(d->rid, at + 4);
		write32(d->rid, at + 4, UINT32_MAX);
		mask_high = read32(d->rid, at + 4);
		write32(d->rid, at + 4, high);
	}
	uint64_t base = (uint64_t)high << 32 | (low & ~15u);
	uint64_t bytes = -((uint64_t)mask_high << 32 | (mask_low & ~15u));
	if (low & BAR_IO || (mask_low & ~15u) == 0 || base == 0 || bytes == 0 || (bytes & (bytes - 1)) != 0)
		return 1 + wide;
	d->bar_offset[i] = base & 4095;
	d->bar_bytes[i] = bytes;
	int64_t memory = device_memory(base & ~4095ull, (d->bar_offset[i] + bytes + 4095) & ~4095ull);
	if (memory < 0)
		complain(d, "a BAR", memory);
	else
		d->bar[i] = (hilum_handle_t)memory;
	return 1 + wide;
}

static bool is_wanted(uint16_t rid)
{
	uint32_t class = read32(rid, PCI_CLASS) >> 24;

	if (wants_watchdog && read32(rid, 0) == WATCHDOG_ID)
		return true;
	return wanted == CONFIG_DEVICES_ALL ? class != 0x06 && class != 0x08 : class == CLASS_STORAGE || class == CLASS_NETWORK;
}

static void add_endpoint(uint16_t rid)
{
	struct host_device *d = &devices[device_count];
	uint32_t command = read32(rid, PCI_COMMAND) & 0xFFFF; /* the upper half is status, cleared by ones */

	if (!is_wanted(rid) || device_count == DEVICES_MAX)
		return;
	*d = (struct host_device){ .rid = rid, .is_network = read32(rid, PCI_CLASS) >> 24 == CLASS_NETWORK };
	int64_t event = control_event(CONTROL_EVENT_DEVICE);
	int64_t handle = event < 0 ? event : hc(HC_DEVICE_CREATE, HILUM_HANDLE_HOST, rid, event);
	if (handle < 0) {
		complain(d, "is not given to the driver VM", handle);
		return;
	}
	d->handle = (hilum_handle_t)handle;
	int64_t page = device_memory(ecam_base + ((uint64_t)rid << 12), 4096);
	if (page < 0) {
		complain(d, "its configuration", page);
		return;
	}
	d->config_page = (hilum_handle_t)page;
	write32(rid, PCI_COMMAND, command & ~COMMAND_DECODE);
	for (unsigned i = 0; i < CHANNEL_BARS;)
		i += size_bar(d, i);
	write32(rid, PCI_COMMAND, command);
	device_count++;
}

static void scan_bus(uint8_t bus, unsigned depth);

/* An IOMMU of AMD's (class 08h, 06h): the interrupt that tells of faults. PCI Local Bus Specification 3.0, 6.8.1. */
static void set_fault_message(uint16_t rid)
{
	unsigned at = find_capability(rid, CAPABILITY_MSI);
	uint32_t header = read32(rid, at);

	if (at == 0)
		return;
	write32(rid, at + 4, (uint32_t)control_host.fault_message);
	if (header & MSI_64BIT)
		write32(rid, at + 8, 0);
	write32(rid, at + (header & MSI_64BIT ? 12 : 8), (uint32_t)(control_host.fault_message >> 32));
	write32(rid, at, (header & ~MSI_MULTIPLE) | MSI_ENABLE);
}

static void scan_function(uint16_t rid, unsigned depth)
{
	if (read32(rid, PCI_CLASS) >> 16 == CLASS_IOMMU)
		set_fault_message(rid);
	else if ((read32(rid, PCI_HEADER) >> 16 & 0x7F) == 1)
		scan_bus(read32(rid, PCI_BUSES) >> 8 & 0xFF, depth + 1);
	else
		add_endpoint(rid);
}

static void scan_bus(uint8_t bus, unsigned depth)
{
	if (bus < first_bus || bus > last_bus || bus_seen[bus] || depth > 16)
		return;
	bus_seen[bus] = true;
	int64_t memory = device_memory(ecam_base + (uint64_t)bus * BUS_BYTES, BUS_BYTES);
	if (memory >= 0)
		memory = hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, ECAM_GPA + (uint64_t)bus * BUS_BYTES, 0, BUS_BYTES,
		            HILUM_MAP_READ | HILUM_MAP_WRITE);
	if (memory < 0) {
		service_log("PCI bus %u cannot be read: %s", bus, control_error(memory));
		return;
	}
	for (unsigned slot = 0; slot < 32; slot++) {
		uint16_t rid = (uint16_t)(bus << 8 | slot << 3);
		unsigned functions = read32(rid, PCI_HEADER) >> 23 & 1 ? 8 : 1;
		for (unsigned f = 0; f < functions; f++)
			if ((read32(rid + f, 0) & 0xFFFF) != 0xFFFF)
				scan_function((uint16_t)(rid + f), depth);
	}
}

void devices_find(const struct config *config)
{
	bool has_iommu = control_host.features & HILUM_HOST_IOMMU;

	wanted = config->devices;
	wants_watchdog = config->watchdog_seconds != 0;
	if (wanted == CONFIG_DEVICES_NONE)
		return;
	if (!find_ecam()) {
		service_log("this machine has no PCI Express configuration space: no device is used");
		return;
	}
	if (!has_iommu && !config->allow_no_iommu) {
		service_log("no IOMMU is in use, so no device is used: hilum.toml can say 'allow_no_iommu = true'");
		return;
	}
	if (!has_iommu) {
		service_log("warning: no IOMMU is in use, and hilum.toml allows that: a device can reach all memory");
		assign_flags = HILUM_DEVICE_UNPROTECTED;
	} else if (!(control_host.features & HILUM_HOST_IRQ_REMAPPING)) {
		service_log("warning: this IOMMU does not check interrupts: a device can raise any");
	}
	scan_bus(first_bus, 0);
}

bool devices_have_network(void)
{
	for (unsigned i = 0; i < device_count; i++)
		if (devices[i].is_network)
			return true;
	return false;
}

/* ---- Giving ------------------------------------------------------------------------------------------------------------------------ */

static int64_t map_bars(const struct host_device *d, uint64_t *next, struct channel_message *m)
{
	for (unsigned i = 0; i < CHANNEL_BARS; i++) {
		uint64_t bytes = (d->bar_offset[i] + d->bar_bytes[i] + 4095) & ~4095ull;
		uint64_t at = (*next + bytes - 1) & ~(bytes - 1);

		if (d->bar[i] == 0)
			continue;
		if (bytes > CHANNEL_BAR_LIMIT - CHANNEL_BAR_GPA || at > CHANNEL_BAR_LIMIT - bytes)
			return HILUM_E_NO_MEMORY;
		int64_t error = driver_map(d->bar[i], at, bytes);
		if (error < 0)
			return error;
		m->device.bar[i] = at + d->bar_offset[i];
		m->device.bar_bytes[i] = d->bar_bytes[i];
		*next = at + bytes;
	}
	return 0;
}

/* What a function-level reset clears. */
struct saved {
	uint32_t command, bar[CHANNEL_BARS];
};

/*
 * What firmware, or a driver VM that is gone, had it do must not go on in a fresh VM's memory: no DMA, and a function-level reset of
 * one that was at work and has it (PCI Express Base Specification 5.0, 6.6.2). Drivers reset the others before they let them do DMA.
 * True: reset_end must follow, after RESET_NS.
 */
static bool reset_begin(uint16_t rid, struct saved *saved)
{
	uint32_t command = read32(rid, PCI_COMMAND) & 0xFFFF;
	unsigned express = find_capability(rid, CAPABILITY_EXPRESS);

	write32(rid, PCI_COMMAND, command & ~COMMAND_MASTER);
	if (!(command & COMMAND_MASTER) || express == 0 || !(read32(rid, express + 4) & EXPRESS_HAS_FLR))
		return false;
	for (unsigned i = 0; i < CHANNEL_BARS; i++)
		saved->bar[i] = read32(rid, PCI_BAR + 4 * i);
	saved->command = command & ~COMMAND_MASTER;
	write32(rid, express + 8, (read32(rid, express + 8) & 0xFFFF) | EXPRESS_FLR);
	return true;
}

static void reset_end(uint16_t rid, const struct saved *saved)
{
	for (unsigned i = 0; i < CHANNEL_BARS; i++)
		write32(rid, PCI_BAR + 4 * i, saved->bar[i]);
	write32(rid, PCI_COMMAND, saved->command);
}

static void reset_wait(void)
{
	for (uint64_t until = service_tsc() + service_ns_to_tsc(RESET_NS); service_tsc() < until;)
		guard_wait(until);
}

static void quiesce(uint16_t rid)
{
	struct saved saved;

	if (!reset_begin(rid, &saved))
		return;
	reset_wait();
	reset_end(rid, &saved);
}

void devices_stop(void)
{
	static struct saved saved[DEVICES_MAX];
	static bool resets[DEVICES_MAX];
	bool any = false;

	for (unsigned i = 0; i < device_count; i++) {
		resets[i] = reset_begin(devices[i].rid, &saved[i]);
		any |= resets[i];
	}
	if (any)
		reset_wait();
	for (unsigned i = 0; i < device_count; i++)
		if (resets[i])
			reset_end(devices[i].rid, &saved[i]);
}

static int64_t give(const struct host_device *d, hilum_handle_t vm, uint64_t config_gpa, uint64_t *next)
{
	struct channel_message m = { .kind = CHANNEL_DEVICE, .device = { .rid = d->rid, .config_gpa = config_gpa } };
	int64_t error = driver_map(d->config_page, config_gpa, 4096);

	if (error >= 0)
		error = map_bars(d, next, &m);
	quiesce(d->rid);
	if (error >= 0)
		error = hc(HC_DEVICE_ASSIGN, d->handle, vm, assign_flags);
	if (error >= 0)
		error = hc(HC_HANDLE_GRANT, vm, d->handle, HILUM_RIGHT_BIND | HILUM_RIGHT_READ);
	if (error < 0)
		return error;
	m.device.handle = (uint32_t)error;
	m.device.flags = assign_flags & HILUM_DEVICE_UNPROTECTED ? 0 : CHANNEL_DEVICE_SAME_ADDRESSES;
	driver_send(&m);
	return 0;
}

void devices_give(hilum_handle_t vm)
{
	uint64_t next = CHANNEL_BAR_GPA;

	for (unsigned i = 0; i < device_count; i++) {
		int64_t error = give(&devices[i], vm, CHANNEL_CONFIG_GPA + i * 4096ull, &next);
		if (error < 0)
			complain(&devices[i], "is not given to the driver VM", error);
	}
}

void devices_report_faults(void)
{
	struct hilum_device_status s;

	for (unsigned i = 0; i < device_count; i++) {
		struct host_device *d = &devices[i];
		if (hc(HC_DEVICE_STATUS, d->handle, (uintptr_t)&s) < 0 || s.faults == d->faults)
			continue;
		if (d->faults == 0 || s.state == HILUM_DEVICE_CUT_OFF)
			service_log("device %02x:%02x.%x: %lu accesses stopped, the last a %s at 0x%lx (reason 0x%x)%s", d->rid >> 8,
			            d->rid >> 3 & 31, d->rid & 7, (unsigned long)s.faults, s.last.write ? "write" : "read",
			            (unsigned long)s.last.address, s.last.reason, s.state == HILUM_DEVICE_CUT_OFF ? "; it is cut off" : "");
		d->faults = s.faults;
		event_add("device.fault", "", "device %02x:%02x.%x: %lu accesses stopped", d->rid >> 8, d->rid >> 3 & 31, d->rid & 7,
		          (unsigned long)s.faults);
	}
}

uint64_t devices_fault_count(void)
{
	uint64_t faults = 0;

	for (unsigned i = 0; i < device_count; i++)
		faults += devices[i].faults;
	return faults;
}

/* ---- A control VM takes over: configuration space is mapped where it was ------------------------------------------------------------------ */

void devices_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, devices);
	RECOVER_KEEP(kept, device_count);
	RECOVER_KEEP(kept, assign_flags);
}

void devices_recover(void)
{
	unsigned there = 0;

	device_count = device_count <= DEVICES_MAX ? device_count : DEVICES_MAX;
	for (unsigned i = 0; i < device_count; i++) {
		struct host_device *d = &devices[i];
		bool all = recover_claim(d->handle, HILUM_OBJECT_DEVICE);
		all &= recover_claim(d->config_page, HILUM_OBJECT_MEMORY); /* both, or what is left of it is nobody's */
		for (unsigned b = 0; b < CHANNEL_BARS; b++)
			if (d->bar[b] != 0 && !recover_claim(d->bar[b], HILUM_OBJECT_MEMORY))
				d->bar[b] = 0;
		if (all)
			devices[there++] = *d;
	}
	device_count = there;
}
