/*
 * A machine goes on where it stood in a driver VM that is gone. The old state is memory in which a program
 * has died, perhaps of having written where it should not: each model takes over numbers, those that lead
 * somewhere are checked, pointers are the new machine's own. A model whose state makes no sense stays at
 * power-on. Accesses that were under way are made again.
 */
#include "drivers-vm/driver/machine.h"

#define FIX_FLAG(flag) ((flag) = model_flag(&(flag)))
#define SECONDS_MAX    0x1000000000ll /* of the clock, since 1970 */
#define BCD_COUNTS     10000u
#define BINARY_COUNTS  65536u

static bool adopt_uart(struct uart16550 *uart, const struct uart16550 *old)
{
	struct uart16550 saved = *old;

	if (saved.fifo_head >= UART_FIFO_BYTES || saved.fifo_count > UART_FIFO_BYTES || saved.line_head >= UART_LINE_BYTES ||
	    saved.line_count > UART_LINE_BYTES || saved.tx_count >= UART_TX_BYTES)
		return false;
	saved.host = uart->host;
	saved.irq = uart->irq;
	saved.console = uart->console;
	FIX_FLAG(saved.fifo_enabled);
	FIX_FLAG(saved.thre_pending);
	FIX_FLAG(saved.rx_timed_out);
	FIX_FLAG(saved.irq_level);
	saved.input_refused = false; /* what was offered is forgotten */
	saved.tx_timer_armed = saved.tx_count != 0;
	*uart = saved;
	return true;
}

static bool adopt_ioapic(struct ioapic *ioapic, const struct ioapic *old)
{
	for (unsigned i = 0; i < PLATFORM_IOAPIC_PINS; i++)
		ioapic->rte[i] = old->rte[i];
	ioapic->lines = old->lines & ((1ull << PLATFORM_IOAPIC_PINS) - 1);
	ioapic->select = old->select;
	ioapic->id = old->id;
	return true;
}

static bool adopt_pic(struct pic *pic, const struct pic *old)
{
	struct pic saved = *old;

	saved.host = pic->host;
	FIX_FLAG(saved.intr);
	for (unsigned i = 0; i < 2; i++) {
		struct pic_chip *chip = &saved.chip[i];
		if (chip->lowest > 7 || chip->init_step > 4)
			return false;
		chip->elcr_writable = pic->chip[i].elcr_writable;
		FIX_FLAG(chip->expect_icw4);
		FIX_FLAG(chip->single);
		FIX_FLAG(chip->special_mask);
		FIX_FLAG(chip->poll);
		FIX_FLAG(chip->read_isr);
		FIX_FLAG(chip->rotate_on_aeoi);
		FIX_FLAG(chip->initialised);
	}
	*pic = saved;
	return true;
}

static bool fix_channel(struct pit_channel *c, uint64_t now)
{
	uint32_t most = model_flag(&c->bcd) ? BCD_COUNTS : BINARY_COUNTS;

	FIX_FLAG(c->bcd);
	FIX_FLAG(c->gate);
	FIX_FLAG(c->armed);
	FIX_FLAG(c->running);
	FIX_FLAG(c->reload_pending);
	FIX_FLAG(c->count_latched);
	FIX_FLAG(c->status_latched);
	FIX_FLAG(c->write_high_next);
	FIX_FLAG(c->read_high_next);
	if ((c->armed || c->running) && (c->count == 0 || c->count > most || c->reload == 0 || c->reload > most))
		return false;
	return c->mode <= 5 && c->access <= 3 && c->start_ns <= now;
}

static bool adopt_pit(struct pit *pit, const struct pit *old)
{
	struct pit saved = *old;

	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		if (!fix_channel(&saved.channel[i], model_now(pit->host)))
			return false;
	saved.host = pit->host;
	saved.irq = pit->irq;
	*pit = saved;
	return true;
}

static bool adopt_rtc(struct rtc *rtc, const struct rtc *old)
{
	struct rtc saved = *old;
	uint64_t now = model_now(rtc->host);

	if (saved.base_ns > now || saved.flags_ns > now || saved.flags_ns < saved.base_ns || saved.base_seconds < 0 ||
	    saved.base_seconds > SECONDS_MAX)
		return false;
	saved.host = rtc->host;
	saved.irq = rtc->irq;
	saved.index &= RTC_BYTES - 1;
	FIX_FLAG(saved.stopped);
	FIX_FLAG(saved.held);
	*rtc = saved;
	return true;
}

static bool adopt_acpi(struct acpi_pm *acpi, const struct acpi_pm *old)
{
	struct acpi_pm saved = *old;

	saved.host = acpi->host;
	FIX_FLAG(saved.kbc_output_full);
	*acpi = saved;
	return true;
}

static void adopt_virtio(struct machine *m, const struct machine *old, const struct machine_config *behind)
{
	if (m->config.virtio_console)
		virtio_console_adopt(&m->virtio_console, &old->virtio_console);
	for (unsigned i = 0; i < m->config.disks; i++)
		virtio_blk_adopt(&m->config.disk[i], &behind->disk[i], behind->disk_config[i].request);
	for (unsigned i = 0; i < m->config.nics; i++)
		virtio_net_adopt(&m->config.nic[i], &behind->nic[i], behind->nic_config[i].frame);
	if (m->config.rng != NULL)
		virtio_pci_adopt(&m->config.rng->device, &behind->rng->device, ~0u);
	if (m->config.balloon != NULL)
		virtio_balloon_adopt(m->config.balloon, behind->balloon);
}

void machine_adopt(struct machine *m, const struct machine *old, const struct machine_config *behind)
{
	const struct {
		const char *name;
		bool adopted;
	} models[] = {
		{ "serial port", adopt_uart(&m->uart, &old->uart) }, { "IOAPIC", adopt_ioapic(&m->ioapic, &old->ioapic) },
		{ "8259A pair", adopt_pic(&m->pic, &old->pic) },     { "8254", adopt_pit(&m->pit, &old->pit) },
		{ "clock", adopt_rtc(&m->rtc, &old->rtc) },          { "ACPI ports", adopt_acpi(&m->acpi_pm, &old->acpi_pm) },
	};

	for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!models[i].adopted)
			MODEL_LOG(m->host, "the state of its %s makes no sense: it is as after power-on", models[i].name);
	watchdog_adopt(&m->watchdog, &old->watchdog);
	cpu_plug_adopt(&m->cpu_plug, &old->cpu_plug);
	m->pci.address = old->pci.address & PCI_HOST_ADDRESS_MASK;
	adopt_virtio(m, old, behind);
	for (unsigned i = 0; i < m->config.links; i++)
		ivshmem_adopt(&m->config.link[i], &behind->link[i]);
	for (unsigned i = 0; i < m->virtios; i++)
		if ((m->virtio[i]->status & VIRTIO_STATUS_NEEDS_RESET))
			MODEL_LOG(m->host, "its virtio device %u needs a reset", i);
}

void machine_resume(struct machine *m)
{
	if (m->host->set_intr_line != NULL)
		m->host->set_intr_line(m->host->ctx, m->pic.intr);
	/* The old one may have ended between a model's wish for an interrupt and its wire, or between wire
	 * and message. */
	model_irq_set(&m->uart.irq, m->uart.irq_level);
	ioapic_resume(&m->ioapic);
	if (m->config.virtio_console)
		virtio_console_resume(&m->virtio_console);
	for (unsigned i = 0; i < m->config.disks; i++)
		virtio_blk_resume(&m->config.disk[i]);
	for (unsigned i = 0; i < m->config.nics; i++)
		virtio_net_resume(&m->config.nic[i]);
	if (m->config.rng != NULL)
		virtio_pci_resume(&m->config.rng->device);
	if (m->config.balloon != NULL)
		virtio_pci_resume(&m->config.balloon->device);
	for (unsigned i = 0; i < m->config.links; i++)
		ivshmem_resume(&m->config.link[i]);
	/* Whatever had been armed: each arms anew what it still waits for. */
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++)
		machine_timer(m, i);
}
