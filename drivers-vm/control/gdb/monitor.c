/* What "monitor COMMAND" answers: questions about the machine that GDB itself has no words for. */
#include "drivers-vm/control/gdb/inner.h"

#define DUMP_BYTES_MAX 256u
#define ROW_BYTES      16u

static const char help[] = "physical ADDRESS [COUNT]  show COUNT bytes (hexadecimal, at most 100) of guest-physical memory\n"
			   "translate ADDRESS         the guest-physical address of a virtual one, by the current thread's page tables\n"
			   "breakpoints               where breakpoints are planted, and which wait for their page\n";

static void skip_spaces(struct gdb_text *text)
{
	while (*text->at == ' ')
		text->at++;
}

static bool take_address(struct gdb_text *text, uint64_t *value)
{
	skip_spaces(text);
	(void)gdb_text_take(text, "0x");
	return gdb_text_number(text, value);
}

static void put_row(struct gdb_answer *out, uint64_t at, const uint8_t *bytes, unsigned count)
{
	gdb_answer_number(out, at);
	gdb_answer_put(out, ":");
	for (unsigned i = 0; i < count; i++) {
		gdb_answer_put(out, " ");
		gdb_answer_bytes(out, bytes + i, 1);
	}
	gdb_answer_put(out, "\n");
}

static void show_physical(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	uint8_t bytes[ROW_BYTES];
	uint64_t at, count = ROW_BYTES;

	if (!take_address(text, &at)) {
		gdb_answer_put(out, "which address?\n");
		return;
	}
	if (!gdb_text_is_end(text) && (!take_address(text, &count) || count > DUMP_BYTES_MAX)) {
		gdb_answer_put(out, "at most 100 bytes\n");
		return;
	}
	while (count != 0) {
		unsigned n = count < ROW_BYTES ? (unsigned)count : ROW_BYTES;
		if (!gdb_memory_read_physical(stub, at, bytes, n)) {
			gdb_answer_number(out, at);
			gdb_answer_put(out, ": not RAM\n");
			return;
		}
		put_row(out, at, bytes, n);
		at += n;
		count -= n;
	}
}

static void show_translation(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	const struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint64_t gva, gpa;

	if (!take_address(text, &gva)) {
		gdb_answer_put(out, "which address?\n");
		return;
	}
	gdb_answer_number(out, gva);
	if (s == NULL || !gdb_memory_translate(stub, s, gva, &gpa)) {
		gdb_answer_put(out, ": not mapped\n");
		return;
	}
	gdb_answer_put(out, " -> ");
	gdb_answer_number(out, gpa);
	gdb_answer_put(out, "\n");
}

static void show_breaks(const struct gdb_stub *stub, struct gdb_answer *out)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		const struct gdb_break *b = &stub->breaks[i];
		if (!b->used)
			continue;
		gdb_answer_number(out, b->gva);
		gdb_answer_put(out, b->planted ? " at " : " waits for its page");
		if (b->planted)
			gdb_answer_number(out, b->gpa);
		gdb_answer_put(out, "\n");
	}
	if (!gdb_breaks_exist(stub))
		gdb_answer_put(out, "none is planted while the debugger stands still\n");
}

void gdb_monitor(struct gdb_stub *stub, const char *command, struct gdb_answer *out)
{
	struct gdb_text text = { command };

	skip_spaces(&text);
	if (gdb_text_take(&text, "physical"))
		show_physical(stub, &text, out);
	else if (gdb_text_take(&text, "translate"))
		show_translation(stub, &text, out);
	else if (gdb_text_take(&text, "breakpoints"))
		show_breaks(stub, out);
	else
		gdb_answer_put(out, help);
}
