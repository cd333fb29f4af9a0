/* Contents of MADT, FADT and HPET. Pure; each field is read only after the length that covers it was
 * checked. */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/string.h"

/* 5.2.12 Multiple APIC Description Table */
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_X2APIC = 9 };

#define MADT_ENTRIES	   44u
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

/* 5.2.12.5: bus 0 is ISA; polarity 1 active high, 3 low; trigger 1 edge, 3 level; 0 as the bus has it: edge,
 * high. */
static void add_override(struct acpi_info *out, const uint8_t *e)
{
	uint32_t flags = (uint32_t)load_le(e + 8, 2);

	if (e[2] || e[3] > 15 || out->override_count == ACPI_OVERRIDES_MAX)
		return;
	out->overrides[out->override_count++] = (struct acpi_override){
		.isa_irq = e[3],
		.gsi = (uint32_t)load_le(e + 4, 4),
		.active_low = (flags & 3) == 3,
		.level = (flags >> 2 & 3) == 3,
	};
}

static bool parse_madt_entry(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	static const uint8_t need[] = {
		[MADT_LAPIC] = 8,
		[MADT_IOAPIC] = 12,
		[MADT_OVERRIDE] = 10,
		[MADT_X2APIC] = 16,
	};

	if (e[0] < sizeof(need) && bytes < need[e[0]])
		return false;
	switch (e[0]) {
	case MADT_LAPIC:
		if (e[3] != XAPIC_ID_BROADCAST)
			add_cpu(out, e[3], (uint32_t)load_le(e + 4, 4));
		break;
	case MADT_X2APIC:
		add_cpu(out, (uint32_t)load_le(e + 4, 4), (uint32_t)load_le(e + 8, 4));
		break;
	case MADT_IOAPIC:
		add_ioapic(out, e);
		break;
	case MADT_OVERRIDE:
		add_override(out, e);
		break;
	default: /* NMI wiring is the same everywhere (LINT1); the rest is for other architectures or hot plug
		  */
		break;
	}
	return true;
}

enum status acpi_parse_madt(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	if (bytes < MADT_ENTRIES)
		return STATUS_INVALID;
	for (size_t at = MADT_ENTRIES; at < bytes; at += table[at + 1]) {
		if (bytes - at < 2 || table[at + 1] < 2 || table[at + 1] > bytes - at)
			return STATUS_INVALID;
		if (!parse_madt_entry(table + at, table[at + 1], out))
			return STATUS_INVALID;
	}
	return STATUS_OK;
}

/* 5.2.9 Fixed ACPI Description Table: offsets */
enum {
	FADT_DSDT = 40,
	FADT_PM1A_CNT = 64,
	FADT_PM1B_CNT = 68,
	FADT_PM_TMR = 76,
	FADT_PM_TMR_LEN = 91,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_CNT = 172,
	FADT_X_PM1B_CNT = 184,
	FADT_X_PM_TMR = 208,
};

#define FADT_MIN_BYTES	     116u /* revision 1 */
#define FADT_TMR_VAL_EXT     (1u << 8)
#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_HW_REDUCED	     (1u << 20)
#define GAS_BYTES	     12u
#define GAS_PORT	     1u

/* A register's extended form counts where the table is long enough and it is not zero (5.2.9, X_ fields). */
static struct acpi_gas get_gas(const uint8_t *table, size_t bytes, size_t offset)
{
	if (offset + GAS_BYTES > bytes || !load_le(table + offset + 4, 8))
		return (struct acpi_gas){0, 0};
	return (struct acpi_gas){load_le(table + offset + 4, 8), table[offset]};
}

static uint16_t get_port(const uint8_t *table, size_t bytes, size_t offset, size_t extended)
{
	struct acpi_gas gas = get_gas(table, bytes, extended);

	if (gas.base && gas.space == GAS_PORT && gas.base <= 0xFFFF)
		return (uint16_t)gas.base;
	return load_le(table + offset, 4) <= 0xFFFF ? (uint16_t)load_le(table + offset, 2) : 0;
}

enum status acpi_parse_fadt(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	uint32_t flags;

	if (bytes < FADT_MIN_BYTES)
		return STATUS_INVALID;
	flags = (uint32_t)load_le(table + FADT_FLAGS, 4);
	out->dsdt.base = load_le(table + FADT_DSDT, 4);
	if (bytes >= FADT_X_DSDT + 8 && load_le(table + FADT_X_DSDT, 8))
		out->dsdt.base = load_le(table + FADT_X_DSDT, 8);
	if (bytes > FADT_RESET_VALUE && flags & FADT_RESET_SUPPORTED) {
		out->reset = get_gas(table, bytes, FADT_RESET_REG);
		out->reset_value = table[FADT_RESET_VALUE];
	}
	if (flags & FADT_HW_REDUCED)
		return STATUS_OK;
	out->pm1a_control = get_port(table, bytes, FADT_PM1A_CNT, FADT_X_PM1A_CNT);
	out->pm1b_control = get_port(table, bytes, FADT_PM1B_CNT, FADT_X_PM1B_CNT);
	out->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
	out->pm_timer = get_gas(table, bytes, FADT_X_PM_TMR);
	if (!out->pm_timer.base && table[FADT_PM_TMR_LEN] == 4)
		out->pm_timer = (struct acpi_gas){load_le(table + FADT_PM_TMR, 4), GAS_PORT};
	return STATUS_OK;
}

/* IA-PC HPET Specification 1.0a, 3.2.4: the base is a GAS at offset 40. */
enum status acpi_parse_hpet(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	struct acpi_gas gas;

	if (bytes < 56)
		return STATUS_INVALID;
	gas = get_gas(table, bytes, 40);
	if (gas.space || gas.base & 0x3FF)
		return STATUS_INVALID;
	out->hpet_base = gas.base;
	return STATUS_OK;
}

struct acpi_override acpi_isa_route(const struct acpi_info *info, uint8_t irq)
{
	for (uint32_t i = 0; i < info->override_count; i++)
		if (info->overrides[i].isa_irq == irq)
			return info->overrides[i];
	return (struct acpi_override){.isa_irq = irq, .gsi = irq};
}
