/*
 * Stands in the driver VM's place and has QEMU's `edu` device do what a driver could have it do: DMA inside its domain and outside,
 * to read-only and to the kernel's memory, its own interrupt and forged ones. Reports in lines of the kernel's log that it prints
 * on the serial port itself; tests/system/test_devices.py reads them.
 */
#include "drivers-vm/driver/host_pci.h"
#include "drivers-vm/lib/channel.h"
#include "drivers-vm/runtime/service.h"
#include <hilum/log_ring.h>
#include <string.h>

#define EDU_ID          0x11E81234u
#define EDU_IRQ_RAISE   0x60u
#define EDU_IRQ_ACK     0x64u
#define EDU_DMA_SOURCE  0x80u
#define EDU_DMA_TARGET  0x88u
#define EDU_DMA_COUNT   0x90u
#define EDU_DMA_COMMAND 0x98u
#define EDU_DMA_START   1u
#define EDU_DMA_TO_RAM  2u
#define EDU_BUFFER      0x40000u /* as the DMA engine sees its own memory */
#define IRQ_BIT         8u
#define SECOND_BIT      9u
#define FLOOD           200u

static struct channel *const channel = (struct channel *)CHANNEL_GPA;
static uint32_t control_event;
static uint16_t serial_port;
static uint64_t log_position;
static const struct host_pci *edu;
static uint8_t page[3][4096] __attribute__((aligned(4096)));
static unsigned failures;

/* ---- The log, on the serial port ------------------------------------------------------------------------------------------------- */

static void put_char(char c)
{
	uint8_t status;

	do
		__asm__ volatile("inb %1, %0" : "=a"(status) : "Nd"((uint16_t)(serial_port + 5)));
	while (!(status & 0x20));
	__asm__ volatile("outb %0, %1" ::"a"(c), "Nd"(serial_port));
}

static void print_log(void)
{
	const struct log_ring *ring = (const struct log_ring *)CHANNEL_LOG_GPA;
	uint64_t end = __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE);

	for (; log_position != end; log_position++)
		put_char((char)ring->data[log_position % LOG_RING_DATA_BYTES]);
}

static void check(bool ok, const char *what)
{
	failures += !ok;
	service_log("dma: %s: %s", ok ? "ok" : "FAILED", what);
	print_log();
}

/* ---- The device -------------------------------------------------------------------------------------------------------------------- */

static void sleep_ms(unsigned ms)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(ms * 1000000ull);
	struct hypercall_trap none;

	while (service_tsc() < until) {
		hypercall_wait(0, until, &none);
		__atomic_fetch_and(&service_shared()->pending[0][0], 1ull << IRQ_BIT | 1ull << SECOND_BIT, __ATOMIC_ACQ_REL);
	}
}

static void edu_write64(unsigned offset, uint64_t value)
{
	*(volatile uint64_t *)(edu->bar[0] + offset) = value;
}

static uint32_t edu_read(unsigned offset)
{
	return *(volatile uint32_t *)(edu->bar[0] + offset);
}

static void edu_write(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(edu->bar[0] + offset) = value;
}

static void dma(uint64_t address, uint64_t bytes, bool to_ram)
{
	edu_write64(EDU_DMA_SOURCE, to_ram ? EDU_BUFFER : address);
	edu_write64(EDU_DMA_TARGET, to_ram ? address : EDU_BUFFER);
	edu_write64(EDU_DMA_COUNT, bytes);
	edu_write64(EDU_DMA_COMMAND, EDU_DMA_START | (to_ram ? EDU_DMA_TO_RAM : 0));
	for (unsigned i = 0; i < 1000 && edu_read(EDU_DMA_COMMAND) & EDU_DMA_START; i++)
		sleep_ms(10);
}

static struct hilum_device_status status(void)
{
	struct hilum_device_status s = { 0 };

	hc(HC_DEVICE_STATUS, edu->handle, (uintptr_t)&s);
	return s;
}

static uint64_t address_of(const void *p)
{
	return host_pci_dma_address(edu, p);
}

/* ---- The tests --------------------------------------------------------------------------------------------------------------------- */

static void fill(unsigned seed)
{
	for (unsigned i = 0; i < sizeof(page[0]); i++)
		page[0][i] = (uint8_t)(seed + i * 7 + i / 256);
}

static void test_inside(void)
{
	fill(1);
	memset(page[1], 0, sizeof(page[1]));
	dma(address_of(page[0]), 2048, false);
	dma(address_of(page[1]), 2048, true);
	check(memcmp(page[0], page[1], 2048) == 0, "DMA inside the domain copies");
}

/* A write to `address` must not arrive; `watched` (if not NULL) must not change. */
static void test_blocked_write(uint64_t address, const volatile uint8_t *watched, const char *what)
{
	static uint8_t before[256];
	uint64_t faults = status().faults;
	bool same = true;

	for (unsigned i = 0; watched != NULL && i < sizeof(before); i++)
		before[i] = watched[i];
	fill(99);
	dma(address_of(page[0]), sizeof(before), false);
	dma(address, sizeof(before), true);
	for (unsigned i = 0; watched != NULL && i < sizeof(before); i++)
		same &= before[i] == watched[i];
	check(same, what);
	service_log("dma: faults %lu for a write to 0x%lx, last at 0x%lx kind %u write %u", (unsigned long)(status().faults - faults),
	            (unsigned long)address, (unsigned long)status().last.address, status().last.kind, status().last.write);
	print_log();
}

/* Reading what is not there must not bring anything of somebody's. */
static void test_blocked_read(uint64_t address, const char *what)
{
	uint64_t faults = status().faults;
	bool leaked = false;

	fill(3);
	dma(address_of(page[0]), 256, false);
	memset(page[1], 0, sizeof(page[1]));
	dma(address, 256, false);
	dma(address_of(page[1]), 256, true);
	for (unsigned i = 0; i < 256; i++)
		leaked |= page[1][i] != page[0][i] && page[1][i] != 0 && page[1][i] != 0xFF;
	check(!leaked, what);
	service_log("dma: faults %lu for a read", (unsigned long)(status().faults - faults));
	print_log();
}

static bool take(unsigned bit)
{
	uint64_t mask = 1ull << bit;

	sleep_ms(50);
	return __atomic_fetch_and(&service_shared()->pending[0][0], ~mask, __ATOMIC_ACQ_REL) & mask;
}

static void raise_irq(void)
{
	edu_write(EDU_IRQ_RAISE, 1);
	edu_write(EDU_IRQ_ACK, 1);
}

/* The device's own interrupt arrives; with the entry of somebody else's, and with one that nobody has, nothing does. */
static void test_interrupts(void)
{
	unsigned msi = host_pci_capability(edu, HOST_PCI_CAP_MSI, 0);

	check(msi != 0 && host_pci_bind_irq(edu, 0, 0, IRQ_BIT), "its interrupt is bound");
	raise_irq();
	check(take(IRQ_BIT), "its interrupt arrives");
	check(!take(IRQ_BIT), "and once only");
	uint32_t address = host_pci_read(edu, msi + 4, 4), data = host_pci_read(edu, msi + 12, 2);
	for (int step = -2; step <= 2; step++) {
		if (step == 0)
			continue;
		host_pci_write(edu, msi + 4, 4, address & 1u << 4 ? address + (uint32_t)(step << 5) : address);
		host_pci_write(edu, msi + 12, 2, address & 1u << 4 ? data : data + (uint32_t)step);
		raise_irq();
	}
	check(!take(IRQ_BIT), "forged interrupts do not arrive");
	host_pci_write(edu, msi + 4, 4, address);
	host_pci_write(edu, msi + 12, 2, data);
	raise_irq();
	check(take(IRQ_BIT), "its own still does");
	check(host_pci_bind_irq(edu, 0, 0, SECOND_BIT), "its interrupt is bound to another event");
	raise_irq();
	check(take(SECOND_BIT) && !take(IRQ_BIT), "which gets it now");
}

/* The rest of the run: a device that goes on is cut off, and then reaches not even what was its own. */
static void test_flood(void)
{
	bool logs = status().faults != 0;

	for (unsigned i = 0; i < FLOOD && logs && status().state == HILUM_DEVICE_ASSIGNED; i++)
		dma(0x7F000000, 16, true);
	check(!logs || status().state == HILUM_DEVICE_CUT_OFF, "a device that floods is cut off");
	if (!logs)
		return;
	uint64_t faults = status().faults;
	fill(5);
	memset(page[1], 0, sizeof(page[1]));
	dma(address_of(page[1]), 256, true);
	bool untouched = true;
	for (unsigned i = 0; i < 256; i++)
		untouched &= page[1][i] == 0;
	check(untouched, "and reaches nothing then");
	check(status().faults == faults, "and is not recorded any more");
}

static void run_tests(void)
{
	const uint8_t *log = (const uint8_t *)CHANNEL_LOG_GPA;

	host_pci_enable(edu, true, true);
	test_inside();
	if (address_of(page[0]) != (uintptr_t)page[0]) { /* no IOMMU: what follows would hit somebody */
		service_log("dma: addresses are the machine's; %u failures", failures);
		print_log();
		return;
	}
	test_blocked_write(0x7F000000, NULL, "DMA outside the domain harms nothing");
	test_blocked_write(0x3FE00000, NULL, "DMA to the kernel's pool harms nothing");
	test_blocked_write(CHANNEL_LOG_GPA, log, "DMA to kernel memory that is read-only here changes nothing");
	test_blocked_write(CHANNEL_CONFIG_GPA, edu->config, "DMA to device registers changes nothing");
	test_blocked_read(0x7F000000, "DMA reads nothing outside the domain");
	test_inside();
	test_interrupts();
	test_flood();
	service_log("dma: %u failures", failures);
	print_log();
}

static void answer(enum channel_kind kind)
{
	channel_put(&channel->to_control, &(struct channel_message){ .kind = kind });
	hc(HC_EVENT_SIGNAL, control_event);
}

_Noreturn void service_start(uint32_t vcpu)
{
	uint32_t taken = 0;
	struct channel_message m;
	struct hypercall_trap none;

	for (;;) {
		hypercall_wait(0, 0, &none);
		service_take_events(vcpu, 0);
		while (vcpu == 0 && channel_take(&channel->to_driver, &taken, &m)) {
			if (m.kind == CHANNEL_SETUP) {
				serial_port = (uint16_t)m.setup.serial_port;
				log_position = m.setup.log_position;
				host_pci_init(m.setup.self);
				control_event = m.setup.control_event;
				answer(CHANNEL_READY);
			} else if (m.kind == CHANNEL_PORT) {
				answer(CHANNEL_PORT_READY); /* neither card nor disk */
			} else if (m.kind == CHANNEL_DEVICE) {
				const struct host_pci *pci = host_pci_add(&m);
				if (pci != NULL && host_pci_read(pci, 0, 4) == EDU_ID) {
					edu = pci;
					run_tests();
				}
			}
			print_log();
		}
	}
}
