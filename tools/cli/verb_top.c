/* top: what the VMs do, a line each, again and again. */
#include "tools/cli/json.h"
#include "tools/cli/sample.h"
#include "tools/cli/show.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DELAY_SECONDS     2
#define ONCE_SECONDS      1
#define DELAY_SECONDS_MAX 3600

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool has_figures(const json_t *vm)
{
	const char *state = json_text(vm, "state");

	return state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
}

/* The figures of all VMs. One that goes while they are read is left out. */
static enum cli_exit take_samples(struct http_session *session, struct sample_set *out)
{
	struct http_reply list;
	const json_t *vm;
	size_t i;
	enum cli_exit status = show_fetch_again(session, http_path("/vms"), NULL, &list);

	*out = (struct sample_set){ 0 };
	json_array_foreach(json_object_get(list.json, "vms"), i, vm)
	{
		struct http_reply reply = { 0 };
		const char *name = json_text(vm, "name");
		char *path = http_path("/vms/%s", name == NULL ? "" : name);
		const struct http_request request = { .method = "GET", .path = path };

		if (status == CLI_OK && !has_figures(vm))
			sample_add(out, vm, now_seconds());
		else if (status == CLI_OK)
			status = http_send(session, &request, &reply);
		if (status == CLI_OK && reply.status == 200)
			sample_add(out, reply.json, now_seconds());
		http_free(&reply);
		free(path);
	}
	http_free(&list);
	return status;
}

#define NAME_COLUMNS  16
#define STATE_COLUMNS 8

/* A line of 79 columns. */
static void print_rates(const struct sample *sample, const struct sample_rates *rates, const char *end)
{
	const double values[] = { (double)sample->memory_bytes, rates->exits,    rates->read_bytes,
		                  rates->write_bytes,           rates->rx_bytes, rates->tx_bytes };
	char *name = text_fit(sample->name, NAME_COLUMNS), *state = text_fit(sample->state, STATE_COLUMNS);
	char texts[6][16];

	for (unsigned i = 0; i < 6; i++)
		text_format_short(texts[i], sizeof(texts[i]), values[i]);
	printf("%s %s %6.1f %5s %7s %7s %7s %7s %7s%s\n", name, state, rates->cpu_percent, texts[0], texts[1], texts[2], texts[3], texts[4],
	       texts[5], end);
	free(state);
	free(name);
}

static void print_screen(const struct http_session *session, const struct sample_set *before, const struct sample_set *now, bool screen)
{
	const char *end = screen ? "\033[K" : "";
	unsigned columns, lines, running = 0;

	terminal_measure(&columns, &lines);
	for (unsigned i = 0; i < now->count; i++)
		running += strcmp(now->samples[i].state, "running") == 0;
	printf("%s%s: %u VMs, %u running%s%s\n", screen ? "\033[H" : "", session->target.address.authority, now->count, running,
	       screen ? "   (q ends)" : "", end);
	printf("%-16s %-8s %6s %5s %7s %7s %7s %7s %7s%s\n", "NAME", "STATE", "%CPU", "MEM", "EXITS/s", "READ/s", "WRITE/s", "RX/s", "TX/s",
	       end);
	for (unsigned i = 0; i < now->count && (!screen || i + 3 < lines); i++) {
		struct sample_rates rates = sample_rate(before, &now->samples[i]);

		print_rates(&now->samples[i], &rates, end);
	}
	if (screen)
		fputs("\033[J", stdout);
	fflush(stdout);
}

static void print_json(const struct sample_set *before, const struct sample_set *now)
{
	json_t *vms = json_array(), *out = json_object();

	for (unsigned i = 0; i < now->count; i++) {
		const struct sample *sample = &now->samples[i];
		struct sample_rates rates = sample_rate(before, sample);

		json_array_append_new(vms,
		                      json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name", sample->name, "state",
		                                sample->state, "memory_bytes", (json_int_t)sample->memory_bytes, "cpu_percent",
		                                rates.cpu_percent, "steal_percent", rates.steal_percent, "exits_per_second", rates.exits,
		                                "read_bytes_per_second", rates.read_bytes, "write_bytes_per_second", rates.write_bytes,
		                                "rx_bytes_per_second", rates.rx_bytes, "tx_bytes_per_second", rates.tx_bytes));
	}
	json_object_set_new(out, "vms", vms);
	json_print(out);
	fflush(stdout);
	json_decref(out);
}

/* Waits; true: the operator typed q. */
static bool wait_for_key(int64_t seconds, bool typed)
{
	double end = now_seconds() + (double)seconds, left;

	while ((left = end - now_seconds()) > 0) {
		struct pollfd key = { .fd = typed ? STDIN_FILENO : -1, .events = POLLIN };
		char c;

		if (poll(&key, 1, (int)(left * 1000) + 1) > 0) {
			if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q')
				return true;
			if (c == ' ')
				return false;
		}
	}
	return false;
}

static enum cli_exit watch(struct http_session *session, const struct cli_options *options)
{
	bool screen = !options->once && !options->json && isatty(STDOUT_FILENO), typed = screen && terminal_enter_quiet(STDIN_FILENO);
	int64_t delay = options->delay != CLI_NOT_GIVEN ? options->delay : options->once ? ONCE_SECONDS : DELAY_SECONDS;
	struct sample_set before, now;
	enum cli_exit status = take_samples(session, &before);
	bool ended = false;

	if (screen)
		fputs("\033[2J", stdout);
	if (screen && status == CLI_OK)
		print_screen(session, &before, &before, true);
	while (status == CLI_OK && !ended && !wait_for_key(delay, typed)) {
		status = take_samples(session, &now);
		if (status == CLI_OK)
			options->json ? print_json(&before, &now) : print_screen(session, &before, &now, screen);
		sample_free(&before);
		before = now;
		ended = options->once || ferror(stdout);
	}
	sample_free(&before);
	terminal_leave_raw();
	return status;
}

static enum cli_exit run_top(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	enum cli_exit status;

	(void)operands, (void)count;
	if (options->delay == 0 || options->delay > DELAY_SECONDS_MAX) {
		cli_error("--delay: 1 to %d seconds", DELAY_SECONDS_MAX);
		return CLI_USAGE;
	}
	status = http_open(&session, options);
	if (status == CLI_OK)
		status = watch(&session, options);
	http_close(&session);
	return status;
}

const struct verb verb_top = {
	.name = "top",
	.operands = "",
	.summary = "Watch what the VMs do",
	.help = "Every two seconds: time on the cores in percent of one core, memory, exits to the hypervisor, bytes read from and written "
		"to disks, bytes\n"
		"received and sent; -o json also has the time that others had while it could have run (steal_percent). q ends it, the space bar measures at once.\n"
		"\nExamples:\n"
		"  hilum top\n"
		"  hilum top --once --delay 5 -o json\n",
	.options = "once delay",
	.run = run_top,
};
