/* Contents of MADT, FADT and HPET. Pure; each field is read only after the length that covers it was
 * checked. */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/string.h"

/* 5.2.12 Multiple APIC Description Table */
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_X2APIC = 9 };

#define MADT_ENTRIES       44u
#define MADT_CPU_ENABLED   1u
#define XAPIC_ID_BROADCAST 0xFFu

static void add_cpu(struct acpi_info *out, uint32_t apic_id, uint32_t flags)
{
	if (!(flags & MADT_CPU_ENABLED) || apic_id == UINT32_MAX)
		return;
	for (uint32_t i = 0; i < out->cpu_count; i++) /* firmware may list a core in both forms */
		if (out->apic_ids[i] == apic_id)
			return;
	if (out->cpu_count == CPU_MAX)
		out->cpus_over++;
	else
		out->apic_ids[out->cpu_count++] = apic_id;
}

static void add_ioapic(struct acpi_info *out, const uint8_t *e)
{
	if (out->ioapic_count < ACPI_IOAPICS_MAX)
		out->ioapics[out->ioapic_count++] = (struct acpi_ioapic){
			.base = load_le(e + 4, 4),
			.gsi_base = (uint32_t)load_le(e + 8, 4),
			.id = e[2],
		};
}

/* Others are skipped: NMI wiring is the same everywhere (LINT1); other architectures, hot plug. */
static enum status parse_madt_entry(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	static const uint8_t need[] = { [MADT_LAPIC] = 8, [MADT_IOAPIC] = 12, [MADT_X2APIC] = 16 };

	if (e[0] < sizeof(need) && bytes < need[e[0]])
		return STATUS_INVALID;
	if (e[0] == MADT_LAPIC && e[3] != XAPIC_ID_BROADCAST)
		add_cpu(out, e[3], (uint32_t)load_le(e + 4, 4));
	else if (e[0] == MADT_X2APIC)
		add_cpu(out, (uint32_t)load_le(e + 4, 4), (uint32_t)load_le(e + 8, 4));
	else if (e[0] == MADT_IOAPIC)
		add_ioapic(out, e);
	return STATUS_OK;
}

enum status acpi_walk(const uint8_t *table, size_t bytes, size_t at, size_t width, acpi_record_fn parse, struct acpi_info *out)
{
	for (size_t n; at < bytes; at += n) {
		n = bytes - at < 2 * width ? 0 : load_le(table + at + width, width);
		if (n < 2 * width || n > bytes - at || parse(table + at, n, out) != STATUS_OK)
			return STATUS_INVALID;
	}
	return STATUS_OK;
}

enum status acpi_parse_madt(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	return bytes < MADT_ENTRIES ? STATUS_INVALID : acpi_walk(table, bytes, MADT_ENTRIES, 1, parse_madt_entry, out);
}

/* 5.2.9 Fixed ACPI Description Table: offsets */
enum {
	FADT_PM_TMR = 76,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_PM_TMR = 208,
};

#define FADT_MIN_BYTES       116u /* revision 1 */
#define FADT_TMR_VAL_EXT     (1u << 8)
#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_HW_REDUCED      (1u << 20)
#define GAS_BYTES            12u
#define GAS_PORT             1u

/*
 * The port of a register that has two forms: a port's number, and a Generic Address Structure (5.2.3.2), which counts where the
 * table is long enough for it and it names a port.
 */
static uint16_t get_port(const uint8_t *table, size_t bytes, size_t extended, uint64_t number)
{
	if (extended + GAS_BYTES <= bytes && table[extended] == GAS_PORT && load_le(table + extended + 4, 8))
		number = load_le(table + extended + 4, 8);
	return number <= UINT16_MAX ? (uint16_t)number : 0;
}

enum status acpi_parse_fadt(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	uint32_t flags;

	if (bytes < FADT_MIN_BYTES)
		return STATUS_INVALID;
	flags = (uint32_t)load_le(table + FADT_FLAGS, 4);
	if (bytes > FADT_RESET_VALUE && flags & FADT_RESET_SUPPORTED) {
		out->reset = get_port(table, bytes, FADT_RESET_REG, 0);
		out->reset_value = table[FADT_RESET_VALUE];
	}
	if (flags & FADT_HW_REDUCED)
		return STATUS_OK;
	out->pm_timer = get_port(table, bytes, FADT_X_PM_TMR, load_le(table + FADT_PM_TMR, 4));
	out->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
	return STATUS_OK;
}

/* IA-PC HPET Specification 1.0a, 3.2.4: the base is a GAS at offset 40. */
enum status acpi_parse_hpet(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	if (bytes < 56 || table[40] || table[44] & 0xFF || table[45] & 3)
		return STATUS_INVALID;
	out->hpet_base = load_le(table + 44, 8);
	return STATUS_OK;
}
