/* What the API asks of the machine that it runs on (api/platform.h), in the control VM. Debuggers are gdb/session.c's. */
#include "drivers-vm/control/api/platform.h"

#include "drivers-vm/control/boot_reason.h"
#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/net/https.h"
#include "drivers-vm/control/net/identity.h"
#include "drivers-vm/control/net/stack.h"
#include "drivers-vm/control/net/web.h"

#include <stdio.h>

#define VERSION "0.5"

_Static_assert(API_FINGERPRINT_BYTES >= TLS_FINGERPRINT_BYTES && API_ERROR_BYTES >= TLS_ERROR_BYTES, "the API has room for both");

bool api_random(void *to, size_t bytes)
{
	return entropy_fill(to, bytes);
}

const char *api_host_name(void)
{
	return https_config()->name;
}

const char *api_version(void)
{
	return VERSION;
}

const char *api_boot_reason(void)
{
	return boot_reason();
}

bool api_address(unsigned index, char text[API_ADDRESS_BYTES])
{
	struct stack_address address[STACK_ADDRESSES_MAX];

	if (index >= stack_addresses(address))
		return false;
	snprintf(text, API_ADDRESS_BYTES, "%s", address[index].text);
	return true;
}

void api_connections(struct api_connections *out)
{
	struct web_counts counts;

	web_counts(&counts);
	*out = (struct api_connections){
		.open = counts.open,
		.accepted = counts.accepted,
		.handshakes = counts.handshakes,
		.handshake_ns = counts.handshake_ns,
		.refused = counts.refused,
		.dropped = counts.dropped,
		.failed = counts.failed,
	};
}

void api_fingerprint(char text[API_FINGERPRINT_BYTES])
{
	snprintf(text, API_FINGERPRINT_BYTES, "%s", tls_fingerprint());
}

bool api_set_certificate(const char *certificate, const char *key, char error[API_ERROR_BYTES])
{
	return tls_set_certificate(certificate, key, error);
}

void api_reset_certificate(void)
{
	tls_reset_certificate();
}
