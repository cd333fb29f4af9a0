## make test-services   build/dma-test.bin, which the system tests put in the driver VM's place
DMA_TEST_SRC := $(RUNTIME_SRC) drivers-vm/driver/host_pci.c tests/service/dma/main.c

.PHONY: test-services
test-services: $(B)/dma-test.bin
$(B)/dma-test.elf: $(call service_obj,$(DMA_TEST_SRC)) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=0x100000 -Wl,--gc-sections \
		-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(call service_obj,$(DMA_TEST_SRC))

# build/moving_frames.bin, likewise: frames change under guests that check their memory.
$(B)/moving_frames.elf: HEAP := 0x10000
$(B)/moving_frames.elf: $(call service_obj,$(RUNTIME_SRC) tests/service/moving_frames.c tests/service/moving_guest.asm) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(filter %.o,$^)

guests: $(B)/moving_frames.bin

# build/write_or_execute.bin, a control VM that tries what its pages do not allow.
$(B)/write_or_execute.elf: HEAP := 0x400000
$(B)/write_or_execute.elf: $(call service_obj,$(RUNTIME_SRC) tests/service/write_or_execute.c) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(filter %.o,$^)

guests: $(B)/write_or_execute.bin
