/*
 * Figures for Prometheus (text format 0.0.4). Names are those of the libvirt exporter and of node_exporter where one fits, and begin with
 * hilum_ elsewhere. One family after the other, as the format wants it, and in each one VM after the other.
 */
#include "drivers-vm/control/api/metrics.h"

#include "drivers-vm/control/api/routes.h"

#include <inttypes.h>

static void write_header(struct text *text, const struct metric_family *family)
{
	text_format(text, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
}

/* x->route.step: the family; x->route.cursor: the VM, or zero before the first one. */
static bool write_next(struct http_exchange *x)
{
	const struct metric_family *family;
	struct manager_host host;
	struct manager_vm vm;

	if (x->route.step == metric_family_count)
		return false;
	family = &metric_families[x->route.step];
	manager_host(&host);
	if (x->route.cursor == 0)
		write_header(&x->body, family);
	if (family->write_host != NULL) {
		family->write_host(&x->body, family->name, &host);
	} else if (manager_at((unsigned)x->route.cursor, &vm)) {
		family->write_vm(&x->body, family->name, &vm, host.info.tsc_hz);
		x->route.cursor++;
		return true;
	}
	x->route.step++;
	x->route.cursor = 0;
	return true;
}

void route_get_metrics(struct http_exchange *x)
{
	http_answer_more(x, 200, "text/plain; version=0.0.4; charset=utf-8", write_next);
}
