/* The core of tests/unit/fake_mm, but what is flushed from the caches is told to the model (iommu_model.h). */
#ifndef TESTS_UNIT_FAKE_IOMMU_ARCH_X86_64_CPU_H
#define TESTS_UNIT_FAKE_IOMMU_ARCH_X86_64_CPU_H

#define cpu_flush_line cpu_flush_line_of_fake_mm
#include "tests/unit/fake_mm/arch/x86_64/cpu.h"
#undef cpu_flush_line

void cpu_flush_line(const void *p);

#endif
