/* See host_pci.h. PCI Local Bus Specification 3.0, 6.7 Capabilities List, 6.8 Message Signaled Interrupts; PCI Express Base
 * Specification 5.0, 7.5.3 PCI Express Capability. */
#include "drivers-vm/driver/host_pci.h"
#include "drivers-vm/runtime/service.h"
#include <string.h>

enum { PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_BAR = 0x10, PCI_CAPABILITIES = 0x34 };
#define COMMAND_MEMORY     (1u << 1)
#define COMMAND_MASTER     (1u << 2)
#define COMMAND_NO_INTX    (1u << 10)
#define STATUS_LIST        (1u << 4)
#define CAPABILITIES_MAX   48u /* in 192 bytes */
#define MSI_ENABLE         (1u << 0)
#define MSI_MULTIPLE       (7u << 4)
#define MSI_64BIT          (1u << 7)
#define MSIX_ENABLE        (1u << 15)
#define MSIX_FUNCTION_MASK (1u << 14)
#define MSIX_SIZE          0x7FFu
#define EXPRESS_HAS_FLR    (1u << 28) /* Device Capabilities */
#define EXPRESS_FLR        (1u << 15) /* Device Control */
#define RESET_NS           100000000ull

static struct host_pci devices[CHANNEL_DEVICES];
static unsigned device_count;
static uint32_t self;

void host_pci_init(uint32_t self_handle)
{
	self = self_handle;
}

struct host_pci *host_pci_add(const struct channel_message *m)
{
	if (device_count == CHANNEL_DEVICES || m->device.config_gpa == 0)
		return NULL;
	struct host_pci *pci = &devices[device_count++];
	pci->rid = m->device.rid;
	pci->handle = m->device.handle;
	pci->same_addresses = m->device.flags & CHANNEL_DEVICE_SAME_ADDRESSES;
	pci->config = (volatile uint8_t *)m->device.config_gpa;
	for (unsigned i = 0; i < CHANNEL_BARS; i++) {
		pci->bar[i] = (volatile uint8_t *)m->device.bar[i];
		pci->bar_bytes[i] = m->device.bar_bytes[i];
	}
	return pci;
}

struct host_pci *host_pci_get(unsigned index)
{
	return index < device_count ? &devices[index] : NULL;
}

uint32_t host_pci_read(const struct host_pci *pci, unsigned offset, unsigned bytes)
{
	volatile uint8_t *at = pci->config + (offset & 4095 & ~(bytes - 1));

	return bytes == 1 ? *at : bytes == 2 ? *(volatile uint16_t *)at : *(volatile uint32_t *)at;
}

void host_pci_write(const struct host_pci *pci, unsigned offset, unsigned bytes, uint32_t value)
{
	volatile uint8_t *at = pci->config + (offset & 4095 & ~(bytes - 1));

	if (bytes == 1)
		*at = (uint8_t)value;
	else if (bytes == 2)
		*(volatile uint16_t *)at = (uint16_t)value;
	else
		*(volatile uint32_t *)at = value;
}

unsigned host_pci_capability(const struct host_pci *pci, uint8_t id, unsigned from)
{
	unsigned at = from != 0 ? from : host_pci_read(pci, PCI_CAPABILITIES, 1) & 0xFC;

	if (!(host_pci_read(pci, PCI_STATUS, 2) & STATUS_LIST))
		return 0;
	for (unsigned i = 0; at >= 0x40 && i < CAPABILITIES_MAX; i++) {
		if (host_pci_read(pci, at, 1) == id)
			return at;
		at = host_pci_read(pci, at + 1, 1) & 0xFC;
	}
	return 0;
}

void host_pci_enable(const struct host_pci *pci, bool decode, bool dma)
{
	uint32_t command = host_pci_read(pci, PCI_COMMAND, 2) & ~(COMMAND_MEMORY | COMMAND_MASTER);

	host_pci_write(pci, PCI_COMMAND, 2, command | COMMAND_NO_INTX | (decode ? COMMAND_MEMORY : 0) | (dma ? COMMAND_MASTER : 0));
}

static void wait_ns(uint64_t ns)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(ns);

	while (service_tsc() < until)
		__asm__ volatile("pause");
}

bool host_pci_reset(const struct host_pci *pci)
{
	unsigned express = host_pci_capability(pci, HOST_PCI_CAP_EXPRESS, 0);
	uint32_t bar[CHANNEL_BARS], command = host_pci_read(pci, PCI_COMMAND, 2);

	host_pci_enable(pci, command & COMMAND_MEMORY, false);
	if (express == 0 || !(host_pci_read(pci, express + 4, 4) & EXPRESS_HAS_FLR))
		return false;
	for (unsigned i = 0; i < CHANNEL_BARS; i++)
		bar[i] = host_pci_read(pci, PCI_BAR + 4 * i, 4);
	host_pci_write(pci, express + 8, 2, host_pci_read(pci, express + 8, 2) | EXPRESS_FLR);
	wait_ns(RESET_NS);
	for (unsigned i = 0; i < CHANNEL_BARS; i++)
		host_pci_write(pci, PCI_BAR + 4 * i, 4, bar[i]);
	host_pci_write(pci, PCI_COMMAND, 2, command & ~COMMAND_MASTER);
	return true;
}

/* ---- Interrupts -------------------------------------------------------------------------------------------------------------------- */

static bool write_msix(const struct host_pci *pci, unsigned cap, unsigned index, uint64_t message)
{
	uint32_t control = host_pci_read(pci, cap + 2, 2), table = host_pci_read(pci, cap + 4, 4);
	unsigned bar = table & 7;
	uint64_t offset = (table & ~7u) + index * 16ull;

	if (index > (control & MSIX_SIZE) || bar >= CHANNEL_BARS || pci->bar[bar] == NULL || offset + 16 > pci->bar_bytes[bar])
		return false;
	host_pci_write(pci, cap + 2, 2, (control | MSIX_ENABLE) & ~MSIX_FUNCTION_MASK);
	volatile uint32_t *entry = (volatile uint32_t *)(pci->bar[bar] + offset);
	entry[3] = 1; /* masked while it changes */
	entry[0] = (uint32_t)message;
	entry[1] = 0;
	entry[2] = (uint32_t)(message >> 32);
	entry[3] = 0;
	return true;
}

static bool write_msi(const struct host_pci *pci, unsigned cap, uint64_t message)
{
	uint32_t control = host_pci_read(pci, cap + 2, 2);

	host_pci_write(pci, cap + 4, 4, (uint32_t)message);
	if (control & MSI_64BIT)
		host_pci_write(pci, cap + 8, 4, 0);
	host_pci_write(pci, cap + (control & MSI_64BIT ? 12 : 8), 2, (uint32_t)(message >> 32));
	host_pci_write(pci, cap + 2, 2, (control & ~MSI_MULTIPLE) | MSI_ENABLE);
	return true;
}

bool host_pci_bind_irq(const struct host_pci *pci, unsigned index, uint32_t vcpu, unsigned bit)
{
	unsigned msix = host_pci_capability(pci, HOST_PCI_CAP_MSIX, 0), msi = host_pci_capability(pci, HOST_PCI_CAP_MSI, 0);
	int64_t event = hc(HC_EVENT_CREATE, self, vcpu, bit, 0);

	if (event < 0)
		return false;
	int64_t message = hc(HC_DEVICE_BIND_IRQ, pci->handle, index, event);
	hc(HC_HANDLE_CLOSE, event); /* the binding keeps it */
	if (message < 0)
		return false;
	if (msix != 0 && write_msix(pci, msix, index, (uint64_t)message))
		return true;
	return msix == 0 && msi != 0 && index == 0 && write_msi(pci, msi, (uint64_t)message);
}

/* One number in hexadecimal digits, `digits` of them; false: they are none. */
static bool parse_hex(const char **at, unsigned digits, uint32_t *value)
{
	for (*value = 0; digits != 0; digits--, ++*at) {
		char c = **at;
		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			*value = *value << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			return false;
	}
	return true;
}

bool host_pci_parse_address(const char *at, uint32_t *rid)
{
	uint32_t segment, bus, device, function;

	if (strlen(at) == 12 && (!parse_hex(&at, 4, &segment) || segment != 0 || *at++ != ':'))
		return false;
	if (!parse_hex(&at, 2, &bus) || *at++ != ':' || !parse_hex(&at, 2, &device) || *at++ != '.' || !parse_hex(&at, 1, &function) ||
	    *at != '\0' || device > 31 || function > 7)
		return false;
	*rid = bus << 8 | device << 3 | function;
	return true;
}

uint64_t host_pci_dma_address(const struct host_pci *pci, const void *at)
{
	int64_t address;

	if (pci->same_addresses) {
		/* Lazy memory is there for a device once it was there for us, and shared memory is not shared once we have written. */
		__asm__ volatile("lock orb $0, (%0)" : : "r"(at) : "memory", "cc");
		return (uintptr_t)at;
	}
	do
		address = hc(HC_DEVICE_DMA_ADDRESS, pci->handle, (uintptr_t)at);
	while (address == HILUM_E_BUSY); /* its frame is changing */

	return address < 0 ? 0 : (uint64_t)address;
}
