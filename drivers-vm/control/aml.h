/*
 * Writing ACPI tables and AML bytecode (ACPI 6.4, chapter 20) into a buffer. Nothing here knows the guest's
 * platform. A writer that runs out of room drops the rest and remembers it in `overflow`; the caller checks
 * once at the end.
 */
#ifndef DRIVERS_VM_CONTROL_AML_H
#define DRIVERS_VM_CONTROL_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml_writer {
	uint8_t *base;
	size_t bytes; /* capacity */
	size_t used;
	bool overflow;
};

/* Plain data, little endian. */
void aml_put_u8(struct aml_writer *w, uint8_t value);
void aml_put_u16(struct aml_writer *w, uint16_t value);
void aml_put_u32(struct aml_writer *w, uint32_t value);
void aml_put_u64(struct aml_writer *w, uint64_t value);
void aml_put_bytes(struct aml_writer *w, const void *from, size_t bytes);
void aml_put_zeros(struct aml_writer *w, size_t bytes);
void aml_align(struct aml_writer *w, size_t align);

/*
 * Terms with a package length: begin returns a mark, end(mark) fills the length in. `name` is a path of
 * four-character segments written as in ASL, padded: "_SB_", "\\_SB_", "PCI0".
 */
size_t aml_begin_scope(struct aml_writer *w, const char *name);
size_t aml_begin_device(struct aml_writer *w, const char *name);
size_t aml_begin_method(struct aml_writer *w, const char *name, unsigned arguments, bool serialized);
size_t aml_begin_package(struct aml_writer *w, uint8_t elements);
size_t aml_begin_if_arg0_equals(struct aml_writer *w, uint64_t value);
size_t aml_begin_if_name(struct aml_writer *w, const char *name);
size_t aml_begin_field(struct aml_writer *w, const char *region); /* accessed by bytes, written with zeroes around a field's bits */
size_t aml_begin_resources(struct aml_writer *w);                 /* Name (_CRS, ResourceTemplate () */
void aml_end(struct aml_writer *w, size_t mark);
void aml_end_resources(struct aml_writer *w, size_t mark);

void aml_put_name_op(struct aml_writer *w, const char *name); /* Name (name, <what is written next>) */
void aml_put_integer(struct aml_writer *w, uint64_t value);
void aml_put_string(struct aml_writer *w, const char *text);
void aml_put_eisa_id(struct aml_writer *w, const char *id); /* "PNP0501" */
void aml_put_buffer(struct aml_writer *w, const uint8_t *bytes, uint8_t count);
void aml_put_io_region(struct aml_writer *w, const char *name, uint16_t port, uint8_t ports);
void aml_put_field_bits(struct aml_writer *w, const char *name, unsigned bits); /* NULL: bits that nobody names */
void aml_put_store(struct aml_writer *w, uint64_t value, const char *name);
void aml_put_return(struct aml_writer *w, uint64_t value);
void aml_put_notify(struct aml_writer *w, const char *path, uint64_t value);

/* Resource descriptors (ACPI 6.4, 6.4 Resource Data Types for ACPI); ranges are inclusive. */
void aml_put_io(struct aml_writer *w, uint16_t first, uint8_t ports);
void aml_put_irq_edge(struct aml_writer *w, uint32_t gsi);
void aml_put_fixed_memory(struct aml_writer *w, uint32_t base, uint32_t bytes);
void aml_put_bus_window(struct aml_writer *w, uint16_t first, uint16_t last);
void aml_put_io_window(struct aml_writer *w, uint16_t first, uint16_t last);
void aml_put_memory_window(struct aml_writer *w, uint32_t first, uint32_t last);
void aml_put_prefetchable_window(struct aml_writer *w, uint64_t first, uint64_t last);

/* A table: header with `signature` and `revision` now, length and checksum at the end. Returns the mark for
 * the end. */
size_t aml_begin_table(struct aml_writer *w, const char *signature, uint8_t revision);
void aml_end_table(struct aml_writer *w, size_t mark);

/* The value that makes the bytes sum to zero. */
uint8_t aml_checksum(const uint8_t *bytes, size_t count);

#endif
