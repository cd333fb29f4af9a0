/*
 * ACPI 6.4, 8.4 Declaring Processors, 6.3.7 _STA, 6.2.10 _MAT, 6.3.3 _EJx. Each bit of the three registers is a field of its own:
 * Pnnn there, Cnnn has come, Gnnn shall go. A write changes that bit alone, as all others are written as zeroes and zeroes change nothing.
 */
#include "drivers-vm/control/acpi_cpus.h"

#include "drivers-vm/lib/platform.h"

#include <stdio.h>

#define REGISTER_BITS 64u
#define STA_PRESENT   0xFu /* present, enabled, shown, functioning */
#define NOTIFY_CHECK  1u   /* 5.6.6: device check */
#define NOTIFY_EJECT  3u
#define MADT_ENABLED  1u
#define NAME_BYTES    5

static void name_of(char name[NAME_BYTES], char kind, uint32_t n)
{
	snprintf(name, NAME_BYTES, "%c%03u", kind, (unsigned)(n % 1000));
}

static void put_bits(struct aml_writer *w, char kind, uint32_t most)
{
	char name[NAME_BYTES];

	for (uint32_t n = 0; n < most; n++) {
		name_of(name, kind, n);
		aml_put_field_bits(w, name, 1);
	}
	if (most < REGISTER_BITS)
		aml_put_field_bits(w, NULL, REGISTER_BITS - most);
}

static void put_registers(struct aml_writer *w, uint32_t most)
{
	aml_put_io_region(w, "CPUR", PLATFORM_CPU_PORT, PLATFORM_CPU_PORTS);
	size_t field = aml_begin_field(w, "CPUR");

	put_bits(w, 'P', most);
	put_bits(w, 'C', most);
	put_bits(w, 'G', most);
	aml_put_field_bits(w, "EJCT", 8);
	aml_end(w, field);
}

/* 5.2.12.2 Processor Local APIC Structure, as in the MADT. */
static void put_mat(struct aml_writer *w, uint32_t n)
{
	const uint8_t entry[] = { 0, 8, (uint8_t)n, (uint8_t)n, MADT_ENABLED, 0, 0, 0 };

	aml_put_name_op(w, "_MAT");
	aml_put_buffer(w, entry, sizeof(entry));
}

static void put_cpu(struct aml_writer *w, uint32_t n)
{
	char name[NAME_BYTES];

	name_of(name, 'N', n);
	size_t device = aml_begin_device(w, name);

	aml_put_name_op(w, "_HID");
	aml_put_string(w, "ACPI0007");
	aml_put_name_op(w, "_UID");
	aml_put_integer(w, n);
	put_mat(w, n);
	size_t sta = aml_begin_method(w, "_STA", 0, false);

	name_of(name, 'P', n);
	size_t condition = aml_begin_if_name(w, name);

	aml_put_return(w, STA_PRESENT);
	aml_end(w, condition);
	aml_put_return(w, 0);
	aml_end(w, sta);
	if (n != 0) { /* the first one stays */
		size_t eject = aml_begin_method(w, "_EJ0", 1, false);

		aml_put_store(w, n, "EJCT");
		aml_end(w, eject);
	}
	aml_end(w, device);
}

void acpi_put_cpus(struct aml_writer *w, uint32_t most)
{
	put_registers(w, most);
	for (uint32_t n = 0; n < most; n++)
		put_cpu(w, n);
}

static void put_event(struct aml_writer *w, char kind, uint32_t n, uint64_t notification)
{
	char bit[NAME_BYTES], device[NAME_BYTES];

	name_of(bit, kind, n);
	name_of(device, 'N', n);
	size_t condition = aml_begin_if_name(w, bit);

	aml_put_store(w, 1, bit);
	aml_put_notify(w, device, notification);
	aml_end(w, condition);
}

void acpi_put_cpu_events(struct aml_writer *w, uint32_t most)
{
	for (uint32_t n = 0; n < most; n++) {
		put_event(w, 'C', n, NOTIFY_CHECK);
		put_event(w, 'G', n, NOTIFY_EJECT);
	}
}
