## make fuzz-boot        fuzz the readers of Multiboot2 information and ACPI tables (FUZZ_RUNS inputs)
FUZZ_BOOT_SOURCES := tests/fuzz/fuzz_boot.c boot/multiboot2.c boot/memory_map.c arch/x86_64/acpi.c arch/x86_64/acpi_tables.c arch/x86_64/acpi_iommu.c \
	arch/x86_64/string_copy.c
FUZZ_RUNS ?= 1000000
.PHONY: fuzz-boot
$(B)/fuzz/fuzz_boot: $(FUZZ_BOOT_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_BOOT_SOURCES)
fuzz-boot: $(B)/fuzz/fuzz_boot
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=4096 -len_control=0 -verbosity=0
