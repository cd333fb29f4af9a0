/* See multiboot2.h. Multiboot2 Specification 2.0, 3.6 Boot information. */
#include "boot/multiboot2.h"
#include "boot/memory_map.h"
#include "arch/x86_64/string.h"

enum {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_MODULE = 3,
	TAG_MEMORY_MAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_RSDP_V1 = 14,
	TAG_RSDP_V2 = 15,
};

#define MEMORY_FREE 1u
enum { FRAMEBUFFER_RGB = 1, FRAMEBUFFER_TEXT = 2 };

#define INFO_HEADER_BYTES 8u
#define TAG_HEADER_BYTES  8u

struct tag {
	const uint8_t *data; /* the tag's first byte, its header included */
	uint32_t type, bytes;
};

/* Those that can fail return what is wrong in a few words, or NULL. */

static const char too_many_ranges[] = "its memory map has too many ranges";

static const char *read_memory_map(const struct tag *t, struct boot_info *info)
{
	uint32_t entry_bytes;

	if (t->bytes < 16 || (entry_bytes = (uint32_t)load_le(t->data + 8, 4)) < 20)
		return "its memory map is malformed";
	for (uint64_t at = 16; at + entry_bytes <= t->bytes; at += entry_bytes) {
		const uint8_t *e = t->data + at;
		enum boot_range_type type = load_le(e + 16, 4) == MEMORY_FREE ? BOOT_RANGE_FREE : BOOT_RANGE_RESERVED;

		if (memory_map_add(info, load_le(e, 8), load_le(e + 8, 8), type) != STATUS_OK)
			return too_many_ranges;
	}
	return NULL;
}

static const char *read_module(const struct tag *t, struct boot_info *info)
{
	struct boot_module *m = &info->modules[info->module_count];
	uint32_t start, end;

	if (t->bytes < 17)
		return "a module's entry is too short";
	if (info->module_count == BOOT_MODULES_MAX)
		return "there are too many modules";
	start = (uint32_t)load_le(t->data + 8, 4);
	end = (uint32_t)load_le(t->data + 12, 4);
	if (end < start)
		return "a module ends before it starts";
	m->base = start;
	m->bytes = end - start;
	string_copy(m->name, sizeof(m->name), (const char *)t->data + 16, t->bytes - 16);
	info->module_count++;
	return NULL;
}

/* One that does not hold its own rows, or is absurdly small or large, is none. */
static void read_framebuffer(const struct tag *t, struct boot_info *info)
{
	const uint8_t *data = t->data;
	uint32_t bits_per_cell = 16;
	struct boot_screen s = { .type = BOOT_SCREEN_TEXT };

	if (t->bytes < 30)
		return;
	s.base = load_le(data + 8, 8);
	s.pitch_bytes = (uint32_t)load_le(data + 16, 4);
	s.width = (uint32_t)load_le(data + 20, 4);
	s.height = (uint32_t)load_le(data + 24, 4);
	s.bits_per_pixel = data[28];
	if (data[29] == FRAMEBUFFER_RGB && (data[28] == 32 || data[28] == 24 || data[28] == 16)) {
		s.type = BOOT_SCREEN_RGB;
		bits_per_cell = data[28];
	} else if (data[29] != FRAMEBUFFER_TEXT) {
		return;
	}
	if (s.width >= 8 && s.width <= 16384 && s.height >= 16 && s.height <= 16384 && s.pitch_bytes <= 1u << 17 &&
	    s.width * bits_per_cell / 8 <= s.pitch_bytes)
		info->screen = s;
}

static void read_rsdp(const struct tag *t, struct boot_info *info)
{
	uint32_t bytes = t->bytes - TAG_HEADER_BYTES;

	if (bytes < 20 || (info->has_rsdp && t->type == TAG_RSDP_V1))
		return;
	memset(info->rsdp, 0, sizeof(info->rsdp));
	memcpy(info->rsdp, t->data + TAG_HEADER_BYTES, bytes < BOOT_RSDP_BYTES ? bytes : BOOT_RSDP_BYTES);
	info->has_rsdp = true;
}

static const char *read_tag(const struct tag *t, struct boot_info *info)
{
	const char *text = (const char *)t->data + TAG_HEADER_BYTES;
	uint32_t text_bytes = t->bytes - TAG_HEADER_BYTES;

	if (t->type == TAG_MEMORY_MAP)
		return read_memory_map(t, info);
	if (t->type == TAG_MODULE)
		return read_module(t, info);
	if (t->type == TAG_CMDLINE)
		string_copy(info->cmdline, sizeof(info->cmdline), text, text_bytes);
	else if (t->type == TAG_FRAMEBUFFER)
		read_framebuffer(t, info);
	else if (t->type == TAG_RSDP_V1 || t->type == TAG_RSDP_V2)
		read_rsdp(t, info);
	return NULL;
}

/* Modules are laid over the memory map last: their tags may come before it. */
static const char *claim_modules(struct boot_info *info)
{
	for (uint32_t i = 0; i < info->module_count; i++) {
		const struct boot_module *m = &info->modules[i];

		if (memory_map_add(info, m->base, m->bytes, BOOT_RANGE_MODULE) != STATUS_OK)
			return too_many_ranges;
	}
	return NULL;
}

uint32_t multiboot2_size(const void *mbi)
{
	uint32_t bytes = (uint32_t)load_le(mbi, 4);

	return bytes < INFO_HEADER_BYTES + TAG_HEADER_BYTES || bytes > MULTIBOOT2_MBI_MAX ? 0 : bytes;
}

const char *multiboot2_parse(const void *mbi, size_t bytes, struct boot_info *info)
{
	const uint8_t *p = mbi;
	size_t at = INFO_HEADER_BYTES;

	memset(info, 0, sizeof(*info));
	for (;;) {
		struct tag t;

		if (at > bytes || bytes - at < TAG_HEADER_BYTES)
			return "it has no end tag";
		t = (struct tag){ p + at, (uint32_t)load_le(p + at, 4), (uint32_t)load_le(p + at + 4, 4) };
		if (t.bytes < TAG_HEADER_BYTES || t.bytes > bytes - at)
			return "a tag's length is impossible";
		if (t.type == TAG_END)
			break;
		const char *defect = read_tag(&t, info);

		if (defect)
			return defect;
		at += ALIGN_UP((size_t)t.bytes, 8);
	}
	if (!info->range_count)
		return "it has no memory map";
	return claim_modules(info);
}
