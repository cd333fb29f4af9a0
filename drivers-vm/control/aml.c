/* The encoders of aml.h. */
#include "drivers-vm/control/aml.h"

#include <string.h>

/* Opcodes (ACPI 6.4, 20.2 AML Grammar Definition) */
#define OP_ZERO        0x00u
#define OP_ONE         0x01u
#define OP_NAME        0x08u
#define OP_BYTE        0x0Au
#define OP_WORD        0x0Bu
#define OP_DWORD       0x0Cu
#define OP_STRING      0x0Du
#define OP_QWORD       0x0Eu
#define OP_SCOPE       0x10u
#define OP_BUFFER      0x11u
#define OP_PACKAGE     0x12u
#define OP_METHOD      0x14u
#define OP_EXT         0x5Bu
#define OP_EXT_REGION  0x80u
#define OP_EXT_FIELD   0x81u
#define OP_EXT_DEVICE  0x82u
#define OP_ARG0        0x68u
#define OP_STORE       0x70u
#define OP_NOTIFY      0x86u
#define OP_LEQUAL      0x93u
#define OP_IF          0xA0u
#define OP_RETURN      0xA4u
#define REGION_IO      1u
#define FIELD_FLAGS    0x41u /* by bytes, no lock, written as zeroes */
#define ROOT_CHAR      '\\'
#define PREFIX_DUAL    0x2Eu
#define SEGMENT_LENGTH 4u

#define METHOD_SERIALIZED 0x08u

/* A buffer's size is written as a word, whatever it is, so that it can be filled in afterwards. */
#define BUFFER_SIZE_BYTES 3u

#define HEADER_LENGTH_OFFSET 4u
#define HEADER_CHECKSUM      9u
#define OEM_ID               "HILUM "
#define OEM_TABLE_ID         "HILUMVM "
#define CREATOR_ID           "HLUM"

void aml_put_bytes(struct aml_writer *w, const void *from, size_t bytes)
{
	if (bytes > w->bytes - w->used) {
		w->overflow = true;
		return;
	}
	memcpy(w->base + w->used, from, bytes);
	w->used += bytes;
}

void aml_put_u8(struct aml_writer *w, uint8_t value)
{
	aml_put_bytes(w, &value, sizeof(value));
}

void aml_put_u16(struct aml_writer *w, uint16_t value)
{
	aml_put_bytes(w, &value, sizeof(value));
}

void aml_put_u32(struct aml_writer *w, uint32_t value)
{
	aml_put_bytes(w, &value, sizeof(value));
}

void aml_put_u64(struct aml_writer *w, uint64_t value)
{
	aml_put_bytes(w, &value, sizeof(value));
}

void aml_put_zeros(struct aml_writer *w, size_t bytes)
{
	for (; bytes > 0; bytes--)
		aml_put_u8(w, 0);
}

void aml_align(struct aml_writer *w, size_t align)
{
	aml_put_zeros(w, (align - w->used % align) % align);
}

/* 20.2.2 Name Objects Encoding, for one or two segments, absolute or not. */
static void put_name(struct aml_writer *w, const char *name)
{
	if (*name == ROOT_CHAR)
		aml_put_u8(w, (uint8_t)*name++);
	if (strlen(name) == 2 * SEGMENT_LENGTH + 1) { /* the dot between them is not encoded */
		aml_put_u8(w, PREFIX_DUAL);
		aml_put_bytes(w, name, SEGMENT_LENGTH);
		name += SEGMENT_LENGTH + 1;
	}
	aml_put_bytes(w, name, SEGMENT_LENGTH);
}

/*
 * 20.2.4 Package Length Encoding: the length counts itself. It is inserted when the content is complete, in
 * the fewest bytes; `mark` is where it goes.
 */
void aml_end(struct aml_writer *w, size_t mark)
{
	size_t content = w->used - mark;
	unsigned extra = content + 1 < 0x40 ? 0 : content + 2 < 0x1000 ? 1 : content + 3 < 0x100000 ? 2 : 3;
	size_t length = content + 1 + extra;
	uint8_t encoded[4];

	if (w->overflow || 1 + extra > w->bytes - w->used) {
		w->overflow = true;
		return;
	}
	encoded[0] = extra == 0 ? (uint8_t)length : (uint8_t)(extra << 6 | (length & 0xF));
	for (unsigned i = 0; i < extra; i++)
		encoded[1 + i] = (uint8_t)(length >> (4 + 8 * i));
	memmove(w->base + mark + 1 + extra, w->base + mark, content);
	memcpy(w->base + mark, encoded, 1 + extra);
	w->used += 1 + extra;
}

size_t aml_begin_scope(struct aml_writer *w, const char *name)
{
	aml_put_u8(w, OP_SCOPE);
	size_t mark = w->used;

	put_name(w, name);
	return mark;
}

size_t aml_begin_device(struct aml_writer *w, const char *name)
{
	aml_put_u8(w, OP_EXT);
	aml_put_u8(w, OP_EXT_DEVICE);
	size_t mark = w->used;

	put_name(w, name);
	return mark;
}

size_t aml_begin_method(struct aml_writer *w, const char *name, unsigned arguments, bool serialized)
{
	aml_put_u8(w, OP_METHOD);
	size_t mark = w->used;

	put_name(w, name);
	aml_put_u8(w, (uint8_t)(arguments | (serialized ? METHOD_SERIALIZED : 0)));
	return mark;
}

size_t aml_begin_package(struct aml_writer *w, uint8_t elements)
{
	aml_put_u8(w, OP_PACKAGE);
	size_t mark = w->used;

	aml_put_u8(w, elements);
	return mark;
}

size_t aml_begin_if_arg0_equals(struct aml_writer *w, uint64_t value)
{
	aml_put_u8(w, OP_IF);
	size_t mark = w->used;

	aml_put_u8(w, OP_LEQUAL);
	aml_put_u8(w, OP_ARG0);
	aml_put_integer(w, value);
	return mark;
}

size_t aml_begin_if_name(struct aml_writer *w, const char *name)
{
	aml_put_u8(w, OP_IF);
	size_t mark = w->used;

	put_name(w, name);
	return mark;
}

size_t aml_begin_field(struct aml_writer *w, const char *region)
{
	aml_put_u8(w, OP_EXT);
	aml_put_u8(w, OP_EXT_FIELD);
	size_t mark = w->used;

	put_name(w, region);
	aml_put_u8(w, FIELD_FLAGS);
	return mark;
}

size_t aml_begin_resources(struct aml_writer *w)
{
	aml_put_name_op(w, "_CRS");
	aml_put_u8(w, OP_BUFFER);
	size_t mark = w->used;

	aml_put_u8(w, OP_WORD);
	aml_put_u16(w, 0);
	return mark;
}

void aml_end_resources(struct aml_writer *w, size_t mark)
{
	aml_put_u8(w, 0x79); /* end tag; a checksum of zero means that there is none */
	aml_put_u8(w, 0x00);
	if (w->overflow)
		return;
	uint16_t size = (uint16_t)(w->used - mark - BUFFER_SIZE_BYTES);

	memcpy(w->base + mark + 1, &size, sizeof(size));
	aml_end(w, mark);
}

void aml_put_name_op(struct aml_writer *w, const char *name)
{
	aml_put_u8(w, OP_NAME);
	put_name(w, name);
}

void aml_put_integer(struct aml_writer *w, uint64_t value)
{
	if (value <= 1) {
		aml_put_u8(w, value == 0 ? OP_ZERO : OP_ONE);
	} else if (value <= UINT8_MAX) {
		aml_put_u8(w, OP_BYTE);
		aml_put_u8(w, (uint8_t)value);
	} else if (value <= UINT16_MAX) {
		aml_put_u8(w, OP_WORD);
		aml_put_u16(w, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		aml_put_u8(w, OP_DWORD);
		aml_put_u32(w, (uint32_t)value);
	} else {
		aml_put_u8(w, OP_QWORD);
		aml_put_u64(w, value);
	}
}

void aml_put_string(struct aml_writer *w, const char *text)
{
	aml_put_u8(w, OP_STRING);
	aml_put_bytes(w, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* 19.6.36 EISAID: three letters of five bits, four hexadecimal digits, most significant byte first. */
void aml_put_eisa_id(struct aml_writer *w, const char *id)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < 3; i++)
		value = value << 5 | (uint32_t)(id[i] - '@');
	for (unsigned i = 3; i < 7; i++)
		value = value << 4 | hex_digit(id[i]);
	aml_put_u8(w, OP_DWORD);
	aml_put_u32(w, __builtin_bswap32(value));
}

void aml_put_buffer(struct aml_writer *w, const uint8_t *bytes, uint8_t count)
{
	aml_put_u8(w, OP_BUFFER);
	size_t mark = w->used;

	aml_put_integer(w, count);
	aml_put_bytes(w, bytes, count);
	aml_end(w, mark);
}

void aml_put_io_region(struct aml_writer *w, const char *name, uint16_t port, uint8_t ports)
{
	aml_put_u8(w, OP_EXT);
	aml_put_u8(w, OP_EXT_REGION);
	put_name(w, name);
	aml_put_u8(w, REGION_IO);
	aml_put_integer(w, port);
	aml_put_integer(w, ports);
}

/* 20.2.5.2: the number of bits is encoded as a package length of below 64, or of two bytes. */
void aml_put_field_bits(struct aml_writer *w, const char *name, unsigned bits)
{
	if (name == NULL)
		aml_put_u8(w, 0);
	else
		put_name(w, name);
	if (bits < 0x40) {
		aml_put_u8(w, (uint8_t)bits);
	} else {
		aml_put_u8(w, (uint8_t)(0x40 | (bits & 0xF)));
		aml_put_u8(w, (uint8_t)(bits >> 4));
	}
}

void aml_put_store(struct aml_writer *w, uint64_t value, const char *name)
{
	aml_put_u8(w, OP_STORE);
	aml_put_integer(w, value);
	put_name(w, name);
}

void aml_put_return(struct aml_writer *w, uint64_t value)
{
	aml_put_u8(w, OP_RETURN);
	aml_put_integer(w, value);
}

void aml_put_notify(struct aml_writer *w, const char *path, uint64_t value)
{
	aml_put_u8(w, OP_NOTIFY);
	put_name(w, path);
	aml_put_integer(w, value);
}

void aml_put_io(struct aml_writer *w, uint16_t first, uint8_t ports)
{
	aml_put_u8(w, 0x47);
	aml_put_u8(w, 1); /* decodes 16 bits */
	aml_put_u16(w, first);
	aml_put_u16(w, first);
	aml_put_u8(w, 1);
	aml_put_u8(w, ports);
}

void aml_put_irq_edge(struct aml_writer *w, uint32_t gsi)
{
	aml_put_u8(w, 0x89); /* extended interrupt */
	aml_put_u16(w, 6);
	aml_put_u8(w, 0x03); /* consumer, edge, active high, exclusive */
	aml_put_u8(w, 1);
	aml_put_u32(w, gsi);
}

void aml_put_fixed_memory(struct aml_writer *w, uint32_t base, uint32_t bytes)
{
	aml_put_u8(w, 0x86);
	aml_put_u16(w, 9);
	aml_put_u8(w, 1); /* read and write */
	aml_put_u32(w, base);
	aml_put_u32(w, bytes);
}

#define WINDOW_MEMORY 0u
#define WINDOW_IO     1u
#define WINDOW_BUS    2u
#define WINDOW_FIXED  0x0Cu /* both ends fixed, producer, positive decode */

/* 6.4.3.5 Address Space Resource Descriptors: numbers of `width` bytes. */
static void put_window(struct aml_writer *w, uint8_t tag, size_t width, uint8_t kind, uint8_t kind_flags, uint64_t first, uint64_t last)
{
	const uint64_t numbers[] = { 0, first, last, 0, last - first + 1 }; /* granularity, range, translation, length */

	aml_put_u8(w, tag);
	aml_put_u16(w, (uint16_t)(3 + sizeof(numbers) / sizeof(*numbers) * width));
	aml_put_u8(w, kind);
	aml_put_u8(w, WINDOW_FIXED);
	aml_put_u8(w, kind_flags);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		aml_put_bytes(w, &numbers[i], width);
}

void aml_put_bus_window(struct aml_writer *w, uint16_t first, uint16_t last)
{
	put_window(w, 0x88, sizeof(first), WINDOW_BUS, 0, first, last);
}

void aml_put_io_window(struct aml_writer *w, uint16_t first, uint16_t last)
{
	put_window(w, 0x88, sizeof(first), WINDOW_IO, 0x03, first, last); /* the entire range, ISA or not */
}

void aml_put_memory_window(struct aml_writer *w, uint32_t first, uint32_t last)
{
	put_window(w, 0x87, sizeof(first), WINDOW_MEMORY, 0x01, first, last); /* uncacheable, read and write */
}

void aml_put_prefetchable_window(struct aml_writer *w, uint64_t first, uint64_t last)
{
	put_window(w, 0x8A, sizeof(first), WINDOW_MEMORY, 0x07, first, last); /* prefetchable, read and write */
}

uint8_t aml_checksum(const uint8_t *bytes, size_t count)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)(0 - sum);
}

size_t aml_begin_table(struct aml_writer *w, const char *signature, uint8_t revision)
{
	size_t mark = w->used;

	aml_put_bytes(w, signature, 4);
	aml_put_u32(w, 0);
	aml_put_u8(w, revision);
	aml_put_u8(w, 0);
	aml_put_bytes(w, OEM_ID, 6);
	aml_put_bytes(w, OEM_TABLE_ID, 8);
	aml_put_u32(w, 1);
	aml_put_bytes(w, CREATOR_ID, 4);
	aml_put_u32(w, 1);
	return mark;
}

void aml_end_table(struct aml_writer *w, size_t mark)
{
	if (w->overflow)
		return;
	uint32_t length = (uint32_t)(w->used - mark);

	memcpy(w->base + mark + HEADER_LENGTH_OFFSET, &length, sizeof(length));
	w->base[mark + HEADER_CHECKSUM] = 0;
	w->base[mark + HEADER_CHECKSUM] = aml_checksum(w->base + mark, length);
}
