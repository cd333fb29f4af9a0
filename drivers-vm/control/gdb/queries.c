/* Packets that begin with q and Q. GDB manual, "General Query Packets". */
#include "drivers-vm/control/gdb/inner.h"
#include "drivers-vm/control/gdb/registers.h"

#include <string.h>

#define COMMAND_BYTES_MAX 200u

static void tell_features(struct gdb_stub *stub, const struct gdb_text *text, struct gdb_answer *out)
{
	stub->swbreak = strstr(text->at, "swbreak+") != NULL;
	stub->hwbreak = strstr(text->at, "hwbreak+") != NULL;
	gdb_answer_put(out, "PacketSize=");
	gdb_answer_number(out, GDB_PACKET_BYTES);
	gdb_answer_put(out, ";qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+");
}

/* A part of the target's description: 'm', and there is more, or 'l'. */
static void read_features(struct gdb_text *text, struct gdb_answer *out)
{
	size_t length = strlen(gdb_target_xml);
	uint64_t first, count;

	if (!gdb_text_number(text, &first) || !gdb_text_take(text, ",") || !gdb_text_number(text, &count) || first > length) {
		gdb_answer_put(out, "E16");
		return;
	}
	size_t most = GDB_PACKET_BYTES / 2, left = length - first; /* room for what must be escaped */
	size_t n = count < most ? (size_t)count : most;
	gdb_answer_put(out, n < left ? "m" : "l");
	for (size_t i = 0; i < n && i < left; i++)
		gdb_answer_put(out, (char[2]){ gdb_target_xml[first + i], '\0' });
}

static void list_threads(struct gdb_stub *stub, struct gdb_answer *out)
{
	if (stub->listed == stub->target.vcpus) {
		gdb_answer_put(out, "l");
		return;
	}
	for (; stub->listed < stub->target.vcpus; stub->listed++) {
		gdb_answer_put(out, out->length == 0 ? "m" : ",");
		gdb_answer_number(out, stub->listed + 1);
	}
}

static void describe_thread(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	static const char *const activities[] = { "runs", "halted", "waits for its start" };
	const struct hilum_vcpu_state *s = NULL;
	char words[48];
	struct gdb_answer name = { words, sizeof(words), 0 };
	uint64_t number;

	if (gdb_text_number(text, &number) && number >= 1 && number <= stub->target.vcpus)
		s = gdb_state_of(stub, (unsigned)number - 1);
	if (s == NULL) {
		gdb_answer_put(out, "E16");
		return;
	}
	gdb_answer_put(&name, "vCPU ");
	gdb_answer_number(&name, number - 1);
	gdb_answer_put(&name, " ");
	gdb_answer_put(&name, s->activity < 3 ? activities[s->activity] : "?");
	gdb_answer_bytes(out, words, name.length);
}

static void run_monitor(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	char command[COMMAND_BYTES_MAX + 1];
	static char words[GDB_PACKET_BYTES / 2];
	struct gdb_answer answer = { words, sizeof(words), 0 };
	size_t length = strlen(text->at) / 2;

	if (length > COMMAND_BYTES_MAX || !gdb_text_bytes(text, (uint8_t *)command, length)) {
		gdb_answer_put(out, "E16");
		return;
	}
	command[length] = '\0';
	gdb_monitor(stub, command, &answer);
	gdb_answer_bytes(out, words, answer.length);
}

void gdb_query(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	if (gdb_text_take(text, "Supported")) {
		tell_features(stub, text, out);
	} else if (gdb_text_take(text, "Xfer:features:read:target.xml:")) {
		read_features(text, out);
	} else if (gdb_text_take(text, "fThreadInfo")) {
		stub->listed = 0;
		list_threads(stub, out);
	} else if (gdb_text_take(text, "sThreadInfo")) {
		list_threads(stub, out);
	} else if (gdb_text_take(text, "ThreadExtraInfo,")) {
		describe_thread(stub, text, out);
	} else if (gdb_text_take(text, "Rcmd,")) {
		run_monitor(stub, text, out);
	} else if (gdb_text_take(text, "Attached")) {
		gdb_answer_put(out, "1"); /* so that GDB leaves it running */
	} else if (gdb_text_take(text, "StartNoAckMode")) {
		stub->link.no_ack = true;
		gdb_answer_put(out, "OK");
	} else if (strcmp(text->at, "C") == 0) {
		gdb_answer_put(out, "QC");
		gdb_answer_number(out, stub->general + 1);
	}
}
