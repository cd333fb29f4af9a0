/*
 * A control VM that does what none of its pages allows, each time that it is started another thing: it writes to its text or its constants, or
 * executes its data, its stack or its heap. The kernel restarts it each time; its lines in the log are what tests/system looks for.
 */
#include "drivers-vm/runtime/service.h"
#include <stdlib.h>
#include <string.h>

static const uint8_t constant[16] = { 1 };
static uint8_t data[16] = { 1 };

extern const uint8_t service_entry[]; /* of the image's text */

static void write_to(const void *p)
{
	__asm__ volatile("" : "+r"(p)); /* the compiler is not to see where to */
	*(volatile uint8_t *)(uintptr_t)p = 0xC3;
}

static void execute(void *p)
{
	memset(p, 0xC3, 1); /* RET */
	__asm__ volatile("call *%0" ::"r"(p) : "memory");
}

static void attempt(uint32_t number)
{
	uint8_t local[16];

	switch (number) {
	case 0:
		write_to(service_entry);
		break;
	case 1:
		write_to(constant);
		break;
	case 2:
		execute(data);
		break;
	case 3:
		execute(local);
		break;
	default:
		execute(malloc(1 << 16));
		break;
	}
}

_Noreturn void service_start(uint32_t vcpu)
{
	const struct hilum_boot_info *boot = (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
	struct hypercall_trap trap;

	(void)vcpu;
	if (boot->restarts < 5) {
		service_log("write_or_execute: attempt %u", boot->restarts);
		attempt(boot->restarts);
		service_log("write_or_execute: attempt %u has succeeded", boot->restarts);
	}
	service_log("write_or_execute: end");
	for (;;)
		hypercall_wait(0, service_tsc() + service_ns_to_tsc(1000000000), &trap);
}
