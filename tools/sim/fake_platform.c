/* What the API asks of its machine, on a workstation. */
#include "drivers-vm/control/api/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool own_certificate;

bool api_random(void *to, size_t bytes)
{
	return getrandom(to, bytes, 0) == (ssize_t)bytes;
}

const char *api_host_name(void)
{
	return "simulator";
}

const char *api_version(void)
{
	return "0.5";
}

const char *api_boot_reason(void)
{
	return "power-on";
}

bool api_address(unsigned index, char text[API_ADDRESS_BYTES])
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };

	if (index >= 2)
		return false;
	snprintf(text, API_ADDRESS_BYTES, "%s", addresses[index]);
	return true;
}

void api_fingerprint(char text[API_FINGERPRINT_BYTES])
{
	size_t used = (size_t)snprintf(text, API_FINGERPRINT_BYTES, "sha256");

	for (unsigned i = 0; i < 32; i++)
		used += (size_t)snprintf(text + used, API_FINGERPRINT_BYTES - used, ":%02X", (own_certificate ? 0xC0 : 0x10) + i);
}

bool api_set_certificate(const char *certificate, const char *key, char error[API_ERROR_BYTES])
{
	if (strncmp(certificate, "-----BEGIN CERTIFICATE-----", 27) != 0 || strncmp(key, "-----BEGIN ", 11) != 0) {
		snprintf(error, API_ERROR_BYTES, "this is no PEM");
		return false;
	}
	own_certificate = true;
	return true;
}

void api_reset_certificate(void)
{
	own_certificate = false;
}

void api_connections(struct api_connections *out)
{
	memset(out, 0, sizeof(*out));
}

/* ---- A debugger: acknowledges and echoes packets, which is enough to see that bytes go both ways -------------- */

static char attached[64];
static uint8_t answer[4096];
static size_t answer_bytes;

int api_gdb_open(const char *vm, char error[API_ERROR_BYTES])
{
	if (attached[0] != '\0') {
		snprintf(error, API_ERROR_BYTES, "another debugger has the VM");
		return -1;
	}
	snprintf(attached, sizeof(attached), "%s", vm);
	answer_bytes = 0;
	return 0;
}

size_t api_gdb_receive(int session, const void *bytes, size_t count)
{
	size_t room = sizeof(answer) - answer_bytes;

	(void)session;
	if (count > room)
		count = room;
	memcpy(answer + answer_bytes, bytes, count);
	answer_bytes += count;
	return count;
}

size_t api_gdb_send(int session, void *to, size_t size)
{
	size_t count = answer_bytes < size ? answer_bytes : size;

	(void)session;
	memcpy(to, answer, count);
	memmove(answer, answer + count, answer_bytes - count);
	answer_bytes -= count;
	return count;
}

bool api_gdb_is_open(int session)
{
	(void)session;
	return attached[0] != '\0';
}

void api_gdb_close(int session)
{
	(void)session;
	attached[0] = '\0';
}
