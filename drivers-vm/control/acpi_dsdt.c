/*
 * The DSDT of the guest platform: PCI root bridge, ECAM reservation, COM1, RTC, the power button with the
 * generic event device that announces it, and the sleep state "off".
 */
#include "drivers-vm/control/acpi_dsdt.h"

#include "drivers-vm/control/acpi_cpus.h"

#define PCI_CONFIG_PORT  0xCF8u
#define PCI_CONFIG_PORTS 8u
#define COM1_PORTS       8u
#define RTC_PORTS        2u
#define NOTIFY_PRESSED   0x80u

static size_t begin_pnp_device(struct aml_writer *w, const char *name, const char *id)
{
	size_t device = aml_begin_device(w, name);

	aml_put_name_op(w, "_HID");
	aml_put_eisa_id(w, id);
	return device;
}

static void put_integer_name(struct aml_writer *w, const char *name, uint64_t value)
{
	aml_put_name_op(w, name);
	aml_put_integer(w, value);
}

/* Devices interrupt by MSI-X only, so the bridge has no _PRT. */
static void put_pci_bridge(struct aml_writer *w, const struct acpi_platform *platform)
{
	size_t device = begin_pnp_device(w, "PCI0", "PNP0A08");

	aml_put_name_op(w, "_CID");
	aml_put_eisa_id(w, "PNP0A03");
	put_integer_name(w, "_UID", 0);
	put_integer_name(w, "_SEG", 0);
	put_integer_name(w, "_BBN", 0);
	size_t resources = aml_begin_resources(w);

	aml_put_bus_window(w, 0, PLATFORM_ECAM_BYTES / 0x100000u - 1);
	aml_put_io(w, PCI_CONFIG_PORT, PCI_CONFIG_PORTS);
	aml_put_io_window(w, PLATFORM_PCI_IO_BASE, PLATFORM_PCI_IO_LIMIT);
	aml_put_memory_window(w, PLATFORM_PCI_MMIO_BASE, PLATFORM_PCI_MMIO_LIMIT - 1);
	if (platform->channel_bytes != 0)
		aml_put_prefetchable_window(w, platform->channel_base, platform->channel_base + platform->channel_bytes - 1);
	aml_end_resources(w, resources);
	aml_end(w, device);
}

/* An operating system uses the MCFG's range only if it is reserved in the namespace (PCI Firmware
 * Specification, 4.1.2). */
static void put_ecam_reservation(struct aml_writer *w)
{
	size_t device = begin_pnp_device(w, "ECAM", "PNP0C02");

	put_integer_name(w, "_UID", 0);
	size_t resources = aml_begin_resources(w);

	aml_put_fixed_memory(w, PLATFORM_ECAM_BASE, PLATFORM_ECAM_BYTES);
	aml_end_resources(w, resources);
	aml_end(w, device);
}

static void put_port_device(struct aml_writer *w, const char *name, const char *id, uint16_t port, uint8_t ports, uint32_t gsi)
{
	size_t device = begin_pnp_device(w, name, id);

	put_integer_name(w, "_UID", 0);
	size_t resources = aml_begin_resources(w);

	aml_put_io(w, port, ports);
	aml_put_irq_edge(w, gsi);
	aml_end_resources(w, resources);
	aml_end(w, device);
}

/* 4.8.2.2.1.2 Control Method Power Button; 5.6.9 Interrupt-signaled ACPI events: a pulse on the GSI is a
 * press. */
static void put_power_button(struct aml_writer *w, uint32_t plug_most)
{
	size_t button = begin_pnp_device(w, "PWRB", "PNP0C0C");

	put_integer_name(w, "_UID", 0);
	aml_end(w, button);

	size_t device = aml_begin_device(w, "GED_");

	aml_put_name_op(w, "_HID");
	aml_put_string(w, "ACPI0013");
	put_integer_name(w, "_UID", 0);
	size_t resources = aml_begin_resources(w);

	aml_put_irq_edge(w, PLATFORM_POWER_BUTTON_GSI);
	if (plug_most != 0)
		aml_put_irq_edge(w, PLATFORM_CPU_GSI);
	aml_end_resources(w, resources);
	size_t method = aml_begin_method(w, "_EVT", 1, true);
	size_t condition = aml_begin_if_arg0_equals(w, PLATFORM_POWER_BUTTON_GSI);

	aml_put_notify(w, "\\_SB_.PWRB", NOTIFY_PRESSED);
	aml_end(w, condition);
	if (plug_most != 0) {
		condition = aml_begin_if_arg0_equals(w, PLATFORM_CPU_GSI);
		acpi_put_cpu_events(w, plug_most);
		aml_end(w, condition);
	}
	aml_end(w, method);
	aml_end(w, device);
}

static void put_sleep_off(struct aml_writer *w)
{
	aml_put_name_op(w, "_S5_");
	size_t package = aml_begin_package(w, 4);

	aml_put_integer(w, PLATFORM_SLP_TYP_S5);
	aml_put_integer(w, 0);
	aml_put_integer(w, 0);
	aml_put_integer(w, 0);
	aml_end(w, package);
}

void acpi_put_dsdt(struct aml_writer *w, const struct acpi_platform *platform)
{
	size_t table = aml_begin_table(w, "DSDT", 2);
	size_t scope = aml_begin_scope(w, "\\_SB_");

	put_pci_bridge(w, platform);
	put_ecam_reservation(w);
	if (platform->serial)
		put_port_device(w, "COM1", "PNP0501", PLATFORM_COM1_PORT, COM1_PORTS, PLATFORM_COM1_IRQ);
	put_port_device(w, "RTC_", "PNP0B00", PLATFORM_RTC_PORT, RTC_PORTS, PLATFORM_RTC_IRQ);
	uint32_t plug_most = platform->vcpus_max > platform->vcpus ? platform->vcpus_max : 0;

	if (plug_most != 0)
		acpi_put_cpus(w, plug_most);
	put_power_button(w, plug_most);
	aml_end(w, scope);
	put_sleep_off(w);
	aml_end_table(w, table);
}
