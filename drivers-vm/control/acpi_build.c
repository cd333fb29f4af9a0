/*
 * The guest's static ACPI tables (ACPI 6.4, 5.2). The platform is hardware-reduced: no SCI, no PM1 registers,
 * no FACS; power-off and reset are two byte-wide ports. acpi_dsdt.c writes the DSDT.
 */
#include "drivers-vm/control/acpi_build.h"

#include "drivers-vm/control/acpi_dsdt.h"
#include "drivers-vm/control/acpi_wdat.h"
#include "drivers-vm/control/aml.h"

#include <string.h>

#define RSDP_BYTES    36u
#define RSDP_V1_BYTES 20u
#define TABLE_ALIGN   16u

/* FADT, by offset from the table's start (5.2.9) */
#define FADT_DSDT           40u
#define FADT_PROFILE        45u
#define FADT_CENTURY        108u
#define FADT_BOOT_ARCH      109u
#define FADT_FLAGS          112u
#define FADT_RESET_REG      116u
#define FADT_RESET_VALUE    128u
#define FADT_MINOR          131u
#define FADT_X_DSDT         140u
#define FADT_SLEEP_CONTROL  244u
#define FADT_SLEEP_STATUS   256u
#define FADT_HYPERVISOR     268u
#define FADT_BYTES          276u
#define FADT_REVISION       6u
#define FADT_MINOR_REVISION 4u

#define PROFILE_ENTERPRISE_SERVER 4u
#define RTC_CENTURY_INDEX         0x32u
#define BOOT_ARCH_LEGACY_DEVICES  (1u << 0)
#define BOOT_ARCH_NO_VGA          (1u << 2)
#define BOOT_ARCH_NO_ASPM         (1u << 4)
#define FLAG_WBINVD               (1u << 0)
#define FLAG_PROC_C1              (1u << 2)
#define FLAG_PWR_BUTTON           (1u << 4) /* set: no fixed-hardware button */
#define FLAG_SLP_BUTTON           (1u << 5)
#define FLAG_RESET_REG_SUP        (1u << 10)
#define FLAG_HW_REDUCED_ACPI      (1u << 20)

#define GAS_SYSTEM_IO   1u
#define GAS_ACCESS_BYTE 1u

/* MADT entries (5.2.12) */
#define MADT_LOCAL_APIC   0u
#define MADT_IO_APIC      1u
#define MADT_OVERRIDE     2u
#define MADT_LOCAL_NMI    4u
#define MADT_LOCAL_X2APIC 9u
#define MADT_X2APIC_NMI   10u
#define MADT_ENABLED      1u
#define MADT_MAY_COME     2u /* Online Capable */
#define MADT_PCAT_COMPAT  1u /* 8259s are there too */
#define XAPIC_ID_LAST     254u
#define PIT_IRQ           0u
#define PIT_GSI           2u
#define NMI_LINT          1u

static uint64_t gpa_of(size_t offset)
{
	return PLATFORM_ACPI_BASE + offset;
}

static void store(struct aml_writer *w, size_t at, const void *value, size_t bytes)
{
	if (!w->overflow)
		memcpy(w->base + at, value, bytes);
}

static void store_u8(struct aml_writer *w, size_t at, uint8_t value)
{
	store(w, at, &value, sizeof(value));
}

static void store_u16(struct aml_writer *w, size_t at, uint16_t value)
{
	store(w, at, &value, sizeof(value));
}

static void store_u32(struct aml_writer *w, size_t at, uint32_t value)
{
	store(w, at, &value, sizeof(value));
}

static void store_u64(struct aml_writer *w, size_t at, uint64_t value)
{
	store(w, at, &value, sizeof(value));
}

/* 5.2.3.2 Generic Address Structure, a byte-wide port. */
static void store_port(struct aml_writer *w, size_t at, uint16_t port)
{
	store_u8(w, at, GAS_SYSTEM_IO);
	store_u8(w, at + 1, 8);
	store_u8(w, at + 2, 0);
	store_u8(w, at + 3, GAS_ACCESS_BYTE);
	store_u64(w, at + 4, port);
}

static void put_fadt(struct aml_writer *w, size_t dsdt)
{
	size_t start = aml_begin_table(w, "FACP", FADT_REVISION);

	aml_put_zeros(w, start + FADT_BYTES - w->used);
	store_u32(w, start + FADT_DSDT, (uint32_t)gpa_of(dsdt));
	store_u64(w, start + FADT_X_DSDT, gpa_of(dsdt));
	store_u8(w, start + FADT_PROFILE, PROFILE_ENTERPRISE_SERVER);
	store_u8(w, start + FADT_CENTURY, RTC_CENTURY_INDEX);
	store_u8(w, start + FADT_MINOR, FADT_MINOR_REVISION);
	store_u16(w, start + FADT_BOOT_ARCH, BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM);
	store_u32(w, start + FADT_FLAGS,
	          FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_RESET_REG_SUP | FLAG_HW_REDUCED_ACPI);
	store_port(w, start + FADT_RESET_REG, PLATFORM_RESET_PORT);
	store_u8(w, start + FADT_RESET_VALUE, PLATFORM_RESET_VALUE);
	store_port(w, start + FADT_SLEEP_CONTROL, PLATFORM_SLEEP_CONTROL_PORT);
	store_port(w, start + FADT_SLEEP_STATUS, PLATFORM_SLEEP_STATUS_PORT);
	store(w, start + FADT_HYPERVISOR, "Hilum\0\0", 8);
	aml_end_table(w, start);
}

/* Ids above 254 need an x2APIC entry, those below must not have one (5.2.12.12). */
static void put_local_apics(struct aml_writer *w, uint32_t vcpus, uint32_t most)
{
	for (uint32_t id = 0; id < most; id++) {
		uint32_t flags = id < vcpus ? MADT_ENABLED : MADT_MAY_COME;
		bool x2apic = id > XAPIC_ID_LAST;

		aml_put_u8(w, x2apic ? MADT_LOCAL_X2APIC : MADT_LOCAL_APIC);
		aml_put_u8(w, x2apic ? 16 : 8);
		if (x2apic) {
			aml_put_u16(w, 0);
			aml_put_u32(w, id);
			aml_put_u32(w, flags);
			aml_put_u32(w, id);
		} else {
			aml_put_u8(w, (uint8_t)id);
			aml_put_u8(w, (uint8_t)id);
			aml_put_u32(w, flags);
		}
	}
}

static void put_nmi_lines(struct aml_writer *w, uint32_t vcpus)
{
	aml_put_u8(w, MADT_LOCAL_NMI);
	aml_put_u8(w, 6);
	aml_put_u8(w, 0xFF); /* all processors */
	aml_put_u16(w, 0);   /* polarity and trigger of the bus */
	aml_put_u8(w, NMI_LINT);
	if (vcpus <= XAPIC_ID_LAST + 1)
		return;
	aml_put_u8(w, MADT_X2APIC_NMI);
	aml_put_u8(w, 12);
	aml_put_u16(w, 0);
	aml_put_u32(w, 0xFFFFFFFFu);
	aml_put_u8(w, NMI_LINT);
	aml_put_zeros(w, 3);
}

static void put_madt(struct aml_writer *w, uint32_t vcpus, uint32_t most)
{
	size_t start = aml_begin_table(w, "APIC", 5);

	aml_put_u32(w, PLATFORM_LAPIC_BASE);
	aml_put_u32(w, MADT_PCAT_COMPAT);
	put_local_apics(w, vcpus, most);

	aml_put_u8(w, MADT_IO_APIC);
	aml_put_u8(w, 12);
	aml_put_u8(w, (uint8_t)most); /* its id */
	aml_put_u8(w, 0);
	aml_put_u32(w, PLATFORM_IOAPIC_BASE);
	aml_put_u32(w, 0); /* first GSI */

	aml_put_u8(w, MADT_OVERRIDE);
	aml_put_u8(w, 10);
	aml_put_u8(w, 0); /* ISA */
	aml_put_u8(w, PIT_IRQ);
	aml_put_u32(w, PIT_GSI);
	aml_put_u16(w, 0);
	put_nmi_lines(w, most);
	aml_end_table(w, start);
}

static void put_mcfg(struct aml_writer *w)
{
	size_t start = aml_begin_table(w, "MCFG", 1);

	aml_put_u64(w, 0);
	aml_put_u64(w, PLATFORM_ECAM_BASE);
	aml_put_u16(w, 0); /* segment */
	aml_put_u8(w, 0);  /* first bus */
	aml_put_u8(w, (uint8_t)(PLATFORM_ECAM_BYTES / 0x100000u - 1));
	aml_put_u32(w, 0);
	aml_end_table(w, start);
}

static void put_xsdt(struct aml_writer *w, const size_t *table, unsigned count)
{
	size_t start = aml_begin_table(w, "XSDT", 1);

	for (unsigned i = 0; i < count; i++)
		aml_put_u64(w, gpa_of(table[i]));
	aml_end_table(w, start);
}

/* 5.2.5.3 Root System Description Pointer, into the room left at the image's start. */
static void store_rsdp(struct aml_writer *w, size_t xsdt)
{
	uint8_t rsdp[RSDP_BYTES] = "RSD PTR ";
	uint32_t length = RSDP_BYTES;
	uint64_t xsdt_gpa = gpa_of(xsdt);

	memcpy(rsdp + 9, "HILUM ", 6);
	rsdp[15] = 2; /* revision */
	memcpy(rsdp + 20, &length, sizeof(length));
	memcpy(rsdp + 24, &xsdt_gpa, sizeof(xsdt_gpa));
	rsdp[8] = aml_checksum(rsdp, RSDP_V1_BYTES);
	rsdp[32] = aml_checksum(rsdp, RSDP_BYTES);
	store(w, 0, rsdp, sizeof(rsdp));
}

static size_t next_table(struct aml_writer *w)
{
	aml_align(w, TABLE_ALIGN);
	return w->used;
}

size_t acpi_build_tables(const struct acpi_platform *platform, uint8_t *out, size_t bytes)
{
	struct aml_writer w = { .base = out, .bytes = bytes };
	size_t table[4];
	unsigned tables = 3;
	uint32_t most = platform->vcpus_max > platform->vcpus ? platform->vcpus_max : platform->vcpus;

	if (platform->vcpus == 0)
		return 0;
	aml_put_zeros(&w, RSDP_BYTES);
	size_t dsdt = next_table(&w);

	acpi_put_dsdt(&w, platform);
	table[0] = next_table(&w);
	put_fadt(&w, dsdt);
	table[1] = next_table(&w);
	put_madt(&w, platform->vcpus, most);
	table[2] = next_table(&w);
	put_mcfg(&w);
	if (platform->watchdog) {
		table[tables++] = next_table(&w);
		acpi_put_wdat(&w);
	}
	size_t xsdt = next_table(&w);

	put_xsdt(&w, table, tables);
	store_rsdp(&w, xsdt);
	return w.overflow ? 0 : w.used;
}
