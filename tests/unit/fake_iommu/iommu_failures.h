/*
 * An IOMMU's tables when memory is short, for the tests of both vendors: each allocation fails once, from the unit's start to a device that
 * works. Boots happen in copies of the process.
 */
#ifndef TESTS_UNIT_FAKE_IOMMU_IOMMU_FAILURES_H
#define TESTS_UNIT_FAKE_IOMMU_IOMMU_FAILURES_H

#include "tests/unit/fake_iommu/iommu_model.h"

#include <sys/wait.h>

#include "fail.h"

void fake_frames_taken(hpa_t hpa, unsigned order)
{
	(void)hpa;
	(void)order;
}

/* What is refused for want of memory has changed nothing: it works when it is made again. */
#define WORKS(call) works((call), true) || works((call), false)
static bool works(enum status status, bool may_fail)
{
	if (status != STATUS_OK && !(may_fail && failing_after == FAILING_DONE && status == STATUS_NO_MEMORY))
		_exit(2);
	return status == STATUS_OK;
}

/* Boots, and gives a device a domain with memory and an interrupt. `access` is the model's answer to a write at that address. */
static bool works_without(int nth, void (*boot_units)(void), uint64_t (*access)(uint64_t address))
{
	static struct memory memory;
	struct iommu_domain *domain = NULL;
	uint64_t message, bytes;
	hpa_t hpa;

	failing_after = nth;
	boot_units();
	if (!(iommu_features & HILUM_HOST_IOMMU)) /* which it has said */
		return failing_after == FAILING_DONE && log_lines != 0;
	bool fine = WORKS(iommu_domain_create(&domain));
	fine = fine && (WORKS(memory_create(2 * MIB, 0, 1, &memory)));
	if (!works(iommu_map(domain, &memory, 0x100000, 0, MIB, RW), true)) { /* vm_map undoes the half of it, and so must this */
		iommu_unmap(domain, 0x100000, MIB);
		fine = fine && works(iommu_map(domain, &memory, 0x100000, 0, MIB, RW), false);
	}
	fine = fine && (WORKS(iommu_set_device(RID, domain, false)));
	fine = fine && (WORKS(iommu_bind_irq(RID, 0x51, 3, false, &message)));
	fine = fine && memory_get(&memory, 0x34000, 0, &hpa, &bytes) == STATUS_OK && access(0x134567) == hpa + 0x567;
	return fine && (failing_after == FAILING_DONE || nth == FAILING_NONE || nth >= 100);
}

static unsigned in_a_process(int nth, void (*boot_units)(void), uint64_t (*access)(uint64_t address))
{
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(!works_without(nth, boot_units, access) ? 1 : nth >= 100 ? 100 + nth - failing_after : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (unsigned)WEXITSTATUS(status);
}

static void each_allocation_fails(void (*boot_units)(void), uint64_t (*access)(uint64_t address))
{
	unsigned count = in_a_process(100, boot_units, access);

	if (count <= 106 || count >= 200) /* none has failed: so many were made */
		fail_msg("without a failure: %u", count);
	for (unsigned nth = 0; nth < count - 100; nth++) {
		unsigned result = in_a_process((int)nth, boot_units, access);

		if (result != 0)
			fail_msg("failure %u of %u: %u", nth, count - 100, result);
	}
	print_message("%u allocations fail once each\n", count - 100);
}

#endif
