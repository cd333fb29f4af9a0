/*
 * Dispatch of ports and addresses, and the wires between the models. The serial port comes first: it is what
 * guests touch most.
 */
#include "drivers-vm/driver/machine.h"

#include <string.h>

#define ISA_TIMER_IRQ    0u
#define IOAPIC_TIMER_PIN 2u /* MADT: interrupt source override of IRQ 0 */
#define NOBODY           0xFFu

#define FIRST_PCI_DEVICE 1u /* the virtio devices' places on bus 0, one after the other */
#define TERMINAL_COLS    80u
#define TERMINAL_ROWS    24u

/* An ISA interrupt reaches both kinds of controller; which of them listens is the guest's choice. */
static void isa_irq_set(void *ctx, unsigned irq, bool level)
{
	struct machine *m = ctx;

	pic_set_line(&m->pic, irq, level);
	ioapic_set_line(&m->ioapic, irq == ISA_TIMER_IRQ ? IOAPIC_TIMER_PIN : irq, level);
}

void machine_set_gsi(struct machine *m, unsigned gsi, bool level)
{
	if (gsi < PIC_IRQS && gsi != IOAPIC_TIMER_PIN)
		pic_set_line(&m->pic, gsi, level);
	ioapic_set_line(&m->ioapic, gsi, level);
}

static uint8_t byte_read(struct machine *m, uint16_t port)
{
	if ((port & ~(UART_PORTS - 1)) == PLATFORM_COM1_PORT)
		return m->config.serial ? uart16550_read(&m->uart, port & (UART_PORTS - 1)) : NOBODY;
	switch (port) {
	case PIC_MASTER_PORT:
	case PIC_MASTER_PORT + 1:
	case PIC_SLAVE_PORT:
	case PIC_SLAVE_PORT + 1:
	case PIC_ELCR_PORT:
	case PIC_ELCR_PORT + 1:
		return pic_read(&m->pic, port);
	case PIT_PORT:
	case PIT_PORT + 1:
	case PIT_PORT + 2:
	case PIT_PORT + 3:
		return pit_read(&m->pit, port - PIT_PORT);
	case PIT_PORT61:
		return pit_read_port61(&m->pit);
	case PLATFORM_RTC_PORT:
	case PLATFORM_RTC_PORT + 1:
		return rtc_read(&m->rtc, port - PLATFORM_RTC_PORT);
	}
	if (port - PLATFORM_WATCHDOG_PORT < PLATFORM_WATCHDOG_PORTS)
		return watchdog_read(&m->watchdog, port - PLATFORM_WATCHDOG_PORT);
	if (port - PLATFORM_CPU_PORT < PLATFORM_CPU_PORTS)
		return cpu_plug_read(&m->cpu_plug, port - PLATFORM_CPU_PORT);
	return acpi_pm_owns(port) ? acpi_pm_read(&m->acpi_pm, port) : NOBODY;
}

static void byte_write(struct machine *m, uint16_t port, uint8_t value)
{
	if ((port & ~(UART_PORTS - 1)) == PLATFORM_COM1_PORT) {
		if (m->config.serial)
			uart16550_write(&m->uart, port & (UART_PORTS - 1), value);
		return;
	}
	switch (port) {
	case PIC_MASTER_PORT:
	case PIC_MASTER_PORT + 1:
	case PIC_SLAVE_PORT:
	case PIC_SLAVE_PORT + 1:
	case PIC_ELCR_PORT:
	case PIC_ELCR_PORT + 1:
		pic_write(&m->pic, port, value);
		return;
	case PIT_PORT:
	case PIT_PORT + 1:
	case PIT_PORT + 2:
	case PIT_PORT + 3:
		pit_write(&m->pit, port - PIT_PORT, value);
		return;
	case PIT_PORT61:
		pit_write_port61(&m->pit, value);
		return;
	case PLATFORM_RTC_PORT:
	case PLATFORM_RTC_PORT + 1:
		rtc_write(&m->rtc, port - PLATFORM_RTC_PORT, value);
		return;
	}
	if (port - PLATFORM_WATCHDOG_PORT < PLATFORM_WATCHDOG_PORTS) {
		watchdog_write(&m->watchdog, port - PLATFORM_WATCHDOG_PORT, value);
	} else if (port - PLATFORM_CPU_PORT < PLATFORM_CPU_PORTS) {
		cpu_plug_write(&m->cpu_plug, port - PLATFORM_CPU_PORT, value);
	} else if (acpi_pm_owns(port)) {
		machine_flush(m); /* it may be the guest's last access */
		acpi_pm_write(&m->acpi_pm, port, value);
	}
}

static uint32_t __attribute__((noinline)) port_read(struct machine *m, uint16_t port, unsigned size)
{
	uint32_t value = 0;
	unsigned i;

	if (pci_host_owns_port(port, size))
		return pci_host_port_read(&m->pci, port, size);
	if (size == 1)
		return byte_read(m, port);
	for (i = 0; i < size && i < sizeof(value); i++)
		value |= (uint32_t)byte_read(m, port + i) << (8 * i);
	return value;
}

uint32_t machine_port_read(struct machine *m, uint16_t port, unsigned size)
{
	/* What guests touch most does not pay for the registers that the rest saves. */
	if (size == 1 && (port & ~(UART_PORTS - 1)) == PLATFORM_COM1_PORT && m->config.serial)
		return uart16550_read(&m->uart, port & (UART_PORTS - 1));
	return port_read(m, port, size);
}

void machine_port_write(struct machine *m, uint16_t port, unsigned size, uint32_t value)
{
	unsigned i;

	/* isa-debug-exit takes the whole value at once, and shadows whatever else might answer there. */
	if (port == m->config.debug_exit_port && port != 0) {
		machine_flush(m);
		m->host->request(m->host->ctx, MODEL_REQUEST_DEBUG_EXIT, size < 4 ? value & ((1u << 8 * size) - 1) : value);
		return;
	}
	if (port == m->config.debug_crash_port && port != 0) {
		m->host->request(m->host->ctx, MODEL_REQUEST_DEBUG_CRASH, value);
		return;
	}
	if (pci_host_owns_port(port, size)) {
		pci_host_port_write(&m->pci, port, size, value);
		return;
	}
	for (i = 0; i < size && i < sizeof(value); i++)
		byte_write(m, port + i, value >> (8 * i));
}

uint64_t machine_mmio_read(struct machine *m, uint64_t gpa, unsigned size)
{
	if (gpa - PLATFORM_IOAPIC_BASE < IOAPIC_BYTES)
		return ioapic_read(&m->ioapic, gpa - PLATFORM_IOAPIC_BASE, size);
	if (pci_host_owns_address(gpa))
		return pci_host_mmio_read(&m->pci, gpa, size);
	return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

void machine_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t value)
{
	if (gpa - PLATFORM_IOAPIC_BASE < IOAPIC_BYTES)
		ioapic_write(&m->ioapic, gpa - PLATFORM_IOAPIC_BASE, size, (uint32_t)value);
	else if (pci_host_owns_address(gpa))
		pci_host_mmio_write(&m->pci, gpa, size, value);
}

void machine_timer(struct machine *m, unsigned id)
{
	switch (id) {
	case MODEL_TIMER_UART_RX:
		uart16550_rx_timeout(&m->uart);
		break;
	case MODEL_TIMER_UART_TX:
		uart16550_flush(&m->uart);
		break;
	case MODEL_TIMER_PIT:
		pit_timer(&m->pit);
		break;
	case MODEL_TIMER_RTC_PERIODIC:
	case MODEL_TIMER_RTC_SECOND:
		rtc_timer(&m->rtc);
		break;
	case MODEL_TIMER_WATCHDOG:
		watchdog_timer(&m->watchdog);
		break;
	case MODEL_TIMER_CONSOLE:
		if (m->config.virtio_console)
			virtio_console_timer(&m->virtio_console);
		break;
	default:
		if (id - MODEL_TIMER_DISK < m->config.disks)
			virtio_blk_timer(&m->config.disk[id - MODEL_TIMER_DISK]);
		else if (id - MODEL_TIMER_NIC < m->config.nics)
			virtio_net_timer(&m->config.nic[id - MODEL_TIMER_NIC]);
	}
}

void machine_set_vcpus(struct machine *m, uint64_t present, uint64_t shall_go)
{
	if (!cpu_plug_set(&m->cpu_plug, present, shall_go))
		return;
	machine_set_gsi(m, PLATFORM_CPU_GSI, true);
	machine_set_gsi(m, PLATFORM_CPU_GSI, false);
}

void machine_serve(struct machine *m)
{
	for (unsigned i = 0; i < m->virtios; i++)
		virtio_pci_serve(m->virtio[i]);
}

void machine_ring(struct machine *m, uint32_t number, unsigned vector)
{
	for (unsigned i = 0; i < m->config.links; i++)
		if (m->config.link[i].config.number == number)
			ivshmem_ring(&m->config.link[i], vector);
}

bool machine_is_busy(const struct machine *m)
{
	for (unsigned i = 0; i < m->config.disks; i++)
		if (virtio_blk_is_busy(&m->config.disk[i]))
			return true;
	for (unsigned i = 0; i < m->config.nics; i++)
		if (virtio_net_is_busy(&m->config.nic[i]))
			return true;
	return false;
}

size_t machine_console_input(struct machine *m, unsigned console, const uint8_t *bytes, size_t count)
{
	if (console == MACHINE_CONSOLE_SERIAL && m->config.serial)
		return uart16550_input(&m->uart, bytes, count);
	if (console == MACHINE_CONSOLE_VIRTIO && m->config.virtio_console)
		return virtio_console_input(&m->virtio_console, bytes, count);
	return count;
}

void machine_flush(struct machine *m)
{
	uart16550_flush(&m->uart);
}

void machine_eoi(struct machine *m, uint8_t vector)
{
	ioapic_end_of_interrupt(&m->ioapic, vector);
}

uint8_t machine_pic_acknowledge(struct machine *m)
{
	return pic_acknowledge(&m->pic);
}

void machine_reset(struct machine *m)
{
	uart16550_reset(&m->uart);
	pit_reset(&m->pit);
	rtc_reset(&m->rtc);
	acpi_pm_init(&m->acpi_pm, m->host);
	watchdog_write(&m->watchdog, PLATFORM_WATCHDOG_RUNNING, 0);
	if (m->pic.intr && m->host->set_intr_line != NULL)
		m->host->set_intr_line(m->host->ctx, false);
	pic_init(&m->pic, m->host);
	ioapic_reset(&m->ioapic);
	pci_host_reset(&m->pci);
}

static void plug(struct machine *m, struct virtio_pci *device)
{
	if (pci_host_plug(&m->pci, FIRST_PCI_DEVICE + m->virtios, &device->function))
		m->virtio[m->virtios++] = device;
}

static void pci_init(struct machine *m)
{
	pci_host_init(&m->pci);
	if (m->config.virtio_console) {
		virtio_console_init(&m->virtio_console, m->host, MACHINE_CONSOLE_VIRTIO, MODEL_TIMER_CONSOLE, TERMINAL_COLS, TERMINAL_ROWS,
		                    m->config.packed);
		plug(m, &m->virtio_console.device);
	}
	for (unsigned i = 0; i < m->config.disks; i++) {
		virtio_blk_init(&m->config.disk[i], m->host, &m->config.disk_config[i], MODEL_TIMER_DISK + i);
		plug(m, &m->config.disk[i].device);
	}
	for (unsigned i = 0; i < m->config.nics; i++) {
		virtio_net_init(&m->config.nic[i], m->host, &m->config.nic_config[i], MODEL_TIMER_NIC + i);
		plug(m, &m->config.nic[i].device);
	}
	if (m->config.rng != NULL) {
		virtio_rng_init(m->config.rng, m->host, m->config.packed);
		plug(m, &m->config.rng->device);
	}
	if (m->config.balloon != NULL) {
		virtio_balloon_init(m->config.balloon, m->host, m->config.balloon_pages, m->config.packed);
		virtio_balloon_set_blocks(m->config.balloon, m->config.balloon_block, m->config.balloon_blocks);
		plug(m, &m->config.balloon->device);
	}
	for (unsigned i = 0; i < m->config.links; i++) {
		ivshmem_init(&m->config.link[i], m->host, &m->config.link_config[i]);
		pci_host_plug(&m->pci, FIRST_PCI_DEVICE + m->virtios + i, &m->config.link[i].function);
	}
	m->config.link_config = NULL;
	m->config.disk_config = NULL;
	m->config.nic_config = NULL;
}

void machine_init(struct machine *m, const struct machine_config *config, const struct model_host *host)
{
	struct model_irq irq = { .set = isa_irq_set, .ctx = m };

	memset(m, 0, sizeof(*m));
	m->config = *config;
	m->host = host;
	ioapic_init(&m->ioapic, host, (uint8_t)config->vcpus);
	pic_init(&m->pic, host);
	irq.irq = PLATFORM_COM1_IRQ;
	uart16550_init(&m->uart, host, irq, MACHINE_CONSOLE_SERIAL);
	irq.irq = ISA_TIMER_IRQ;
	pit_init(&m->pit, host, irq);
	irq.irq = PLATFORM_RTC_IRQ;
	rtc_init(&m->rtc, host, irq, (int64_t)config->rtc_epoch_seconds);
	acpi_pm_init(&m->acpi_pm, host);
	watchdog_init(&m->watchdog, host, config->watchdog);
	cpu_plug_init(&m->cpu_plug, host, config->present);
	pci_init(m);
}
