/*
 * Appended to Bochs's instrument/stubs/instrument.cc by scripts/fetch-bochs coverage: marks each address of Hilum's text that is executed.
 * HILUM_COVERAGE names a file of HILUM_COVERAGE_BYTES bytes, one for each address from HILUM_COVERAGE_BASE on, which is mapped, so that
 * it is right however Bochs ends.
 */
#include "cpu/cpu.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static Bit64u hilum_base, hilum_bytes;
static unsigned char *hilum_executed;

__attribute__((constructor)) static void hilum_start(void)
{
	const char *path = getenv("HILUM_COVERAGE"), *base = getenv("HILUM_COVERAGE_BASE"), *bytes = getenv("HILUM_COVERAGE_BYTES");
	int file = path && base && bytes ? open(path, O_RDWR) : -1;

	if (file < 0)
		return;
	hilum_base = strtoull(base, NULL, 0);
	void *mapped = mmap(NULL, strtoull(bytes, NULL, 0), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (mapped == MAP_FAILED)
		return;
	hilum_executed = (unsigned char *)mapped;
	hilum_bytes = strtoull(bytes, NULL, 0);
}

void bx_instr_before_execution(unsigned cpu, bxInstruction_c *i)
{
	Bit64u offset = BX_CPU(cpu)->get_instruction_pointer() - hilum_base;

	(void)i;
	if (offset < hilum_bytes)
		hilum_executed[offset] = 1;
}
