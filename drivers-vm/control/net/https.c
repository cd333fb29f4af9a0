/* See https.h. */
#include "drivers-vm/control/net/https.h"

#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/boot_reason.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/net/identity.h"
#include "drivers-vm/control/net/port_setup.h"
#include "drivers-vm/control/net/stack.h"
#include "drivers-vm/control/net/web.h"
#include "drivers-vm/control/store/store_sync.h"

#include <stdio.h>
#include <string.h>

enum https_step {
	HTTPS_OFF,
	HTTPS_READING, /* the store is not ready */
	HTTPS_WAITING, /* the network is not */
	HTTPS_ON,
};

static const struct config_api *config;
static enum https_step step;

/* The API's part of the state. Before the guests are started if the disk has been read by then: what is defined there counts. */
static void read_state(void)
{
	if (!port_is_settled() || !store_is_ready())
		return;
	boot_reason_begin();
	api_start();
	api_load_definitions();
	step = HTTPS_WAITING;
}

void https_begin(const struct config_api *of)
{
	config = of;
	if (!config->enabled)
		return;
	if (!entropy_start()) {
		service_log("api: no HTTPS: there are no random numbers: %s", entropy_describe());
		return;
	}
	service_log("api: random numbers come from %s", entropy_describe());
	stack_start(config);
	step = HTTPS_READING;
	read_state();
}

const struct config_api *https_config(void)
{
	return config;
}

static void collect_names(struct tls_names *names)
{
	struct stack_address address[STACK_ADDRESSES_MAX];
	unsigned count = stack_addresses(address);

	*names = (struct tls_names){ .name = config->name, .now_seconds = manager_wall_clock_ns() / 1000000000 };
	for (unsigned i = 0; i < count; i++) {
		if (address[i].v6 && names->ip6s < TLS_ADDRESSES_MAX)
			memcpy(names->ip6[names->ip6s++], address[i].bytes, 16);
		else if (!address[i].v6 && names->ip4s < TLS_ADDRESSES_MAX)
			memcpy(names->ip4[names->ip4s++], address[i].bytes, 4);
	}
}

static void tell(void)
{
	struct stack_address address[STACK_ADDRESSES_MAX];
	char port[8] = "", token[API_TOKEN_BYTES];

	if (config->port != 443)
		snprintf(port, sizeof(port), ":%u", (unsigned)config->port);
	if (stack_addresses(address) != 0)
		service_log("api: https://%s%s/ and https://%s.local%s/", address[0].text, port, config->name, port);
	else
		service_log("api: https://%s.local%s/", config->name, port);
	if (api_first_token(token))
		manager_log_secret("api: first token (admin, shown only now): ", token);
	service_log("api: certificate %s", tls_fingerprint());
}

static void start(uint64_t now_ns)
{
	struct tls_names names;

	if (!stack_is_settled(now_ns))
		return;
	collect_names(&names);
	step = HTTPS_OFF;
	if (!tls_start(&names))
		return;
	if (!web_start((uint16_t)config->port)) {
		service_log("api: no HTTPS: port %u cannot be opened", (unsigned)config->port);
		return;
	}
	step = HTTPS_ON;
	tell();
}

uint64_t https_run(void)
{
	uint64_t now_ns = service_tsc_to_ns(service_tsc()), deadline_ns = UINT64_MAX;
	bool more;

	if (config == NULL)
		return 0;
	more = stack_run(now_ns, &deadline_ns);
	if (step == HTTPS_READING)
		read_state();
	if (step == HTTPS_WAITING)
		start(now_ns);
	if (step == HTTPS_ON)
		more |= web_run(now_ns, &deadline_ns);
	if (more)
		return 1;
	return deadline_ns != UINT64_MAX ? service_ns_to_tsc(deadline_ns) : 0;
}
