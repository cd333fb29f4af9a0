/*
 * Reads the static ACPI tables: no AML, no globals, no allocation. Everything handed in is hostile: each
 * length and checksum is verified before a field is read; a bad table is reported through the caller's
 * `complain` and skipped whole. ACPI Specification 6.5, 5.2 ACPI System Description Tables.
 */
#ifndef ARCH_X86_64_ACPI_H
#define ARCH_X86_64_ACPI_H

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"

#define ACPI_IOAPICS_MAX  8u
#define ACPI_IOMMUS_MAX   32u
#define ACPI_RESERVED_MAX 32u

struct acpi_table_ref {
	hpa_t base;     /* 0: not present */
	uint32_t bytes; /* verified length, with a good checksum */
};

struct acpi_ioapic {
	hpa_t base;
	uint32_t gsi_base;
	uint8_t id;
};

/* PCI functions are named by requester id: bus << 8 | device << 3 | function. */
struct acpi_iommu {
	hpa_t base;
	uint16_t segment;
	uint16_t rid; /* AMD: its own PCI function */
};

/* Memory that firmware lets devices use for ever (RMRR, IVMD), page-aligned. */
struct acpi_reserved {
	hpa_t first, last;
	uint16_t first_rid, last_rid;
};

struct acpi_ioapic_rid {
	uint8_t ioapic_id;
	uint16_t rid; /* what the IOAPIC's interrupts come as */
};

struct acpi_info {
	uint32_t cpu_count; /* usable entries of apic_ids */
	uint32_t cpus_over; /* enabled cores beyond CPU_MAX, left asleep */
	uint32_t apic_ids[CPU_MAX];
	uint32_t ioapic_count;
	struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
	/* I/O ports; 0: absent, or no ports. 5.2.9 Fixed ACPI Description Table. */
	uint16_t pm_timer, reset;
	bool pm_timer_32bit;
	uint8_t reset_value;
	hpa_t hpet_base; /* 0: absent */
	uint32_t iommu_count;
	struct acpi_iommu iommus[ACPI_IOMMUS_MAX];
	uint32_t reserved_count;
	struct acpi_reserved reserved[ACPI_RESERVED_MAX];
	uint32_t ioapic_rid_count;
	struct acpi_ioapic_rid ioapic_rids[ACPI_IOAPICS_MAX];
	uint32_t iommu_skipped, iommu_skipped_type; /* entries of DMAR or IVRS: how many, the first one's type */
	struct acpi_table_ref madt, mcfg, fadt, hpet, dmar, ivrs;
};

struct acpi_access {
	/* Makes `bytes` at `base` readable; NULL if that is impossible. */
	void *(*map)(hpa_t base, uint64_t bytes);
	/* One defect of the table with this four-character name. */
	void (*complain)(const char *name, const char *what);
};

/*
 * Walks from an RSDP copy of `bytes` bytes to every known table and fills *out (zeroed first; always usable,
 * though perhaps empty). STATUS_INVALID: RSDP or its root table is bad.
 */
must_check enum status acpi_scan(const void *rsdp, size_t bytes, const struct acpi_access *access, struct acpi_info *out);

/* The parsers behind it: `table` of `bytes` bytes whose header was verified. They add to *out,
 * STATUS_INVALID: malformed. */
must_check enum status acpi_parse_madt(const uint8_t *table, size_t bytes, struct acpi_info *out);
must_check enum status acpi_parse_fadt(const uint8_t *table, size_t bytes, struct acpi_info *out);
/* Direct Memory Access Remapping Reporting (VT-d specification 4.1, 8) and I/O Virtualization Reporting Structure (AMD
 * I/O Virtualization Technology Specification 3.08, 5.2). Also STATUS_INVALID: more IOMMUs than ACPI_IOMMUS_MAX. */
must_check enum status acpi_parse_dmar(const uint8_t *table, size_t bytes, struct acpi_info *out);
must_check enum status acpi_parse_ivrs(const uint8_t *table, size_t bytes, struct acpi_info *out);
must_check enum status acpi_parse_hpet(const uint8_t *table, size_t bytes, struct acpi_info *out);

/*
 * For them: hands each record from `at` on to `parse`, which says whether it can be believed. A record's length is in its bytes
 * [width, 2 * width).
 */
typedef enum status (*acpi_record_fn)(const uint8_t *record, size_t bytes, struct acpi_info *out);
must_check enum status acpi_walk(const uint8_t *table, size_t bytes, size_t at, size_t width, acpi_record_fn parse, struct acpi_info *out);

#endif
