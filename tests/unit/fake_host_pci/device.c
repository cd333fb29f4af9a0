/* See device.h. */
#include "cmocka_all.h"

#include "tests/unit/fake_host_pci/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/runtime/service.h"

uint64_t fake_now;
bool fake_dma, fake_bar;
char fake_log[200], fake_log_link[200];
bool fake_log_memory;

uint64_t service_tsc_to_ns(uint64_t tsc)
{
	return tsc;
}

static void note(const char *format, va_list args)
{
	vsnprintf(fake_log, sizeof(fake_log), format, args);
	fake_log_memory |= strstr(fake_log, "memory") != NULL;
	if (strncmp(fake_log, "link", 4) == 0)
		memcpy(fake_log_link, fake_log, sizeof(fake_log_link));
}

void service_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(format, args);
	va_end(args);
}

void host_device_log(const struct host_pci *p, const char *format, ...)
{
	va_list args;

	(void)p;
	va_start(args, format);
	note(format, args);
	va_end(args);
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	fail_msg("call %lx", (unsigned long)number);
	return 0;
}

void host_pci_enable(const struct host_pci *p, bool decode, bool dma)
{
	(void)p;
	fake_bar = decode;
	fake_dma = dma;
}

bool host_pci_parse_address(const char *text, uint32_t *rid)
{
	*rid = 0x20;
	return strcmp(text, "00:04.0") == 0;
}
