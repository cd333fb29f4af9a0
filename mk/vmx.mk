# build/bad_entry.bin, a control VM for tests/system (tests/service/), is made with the test guests.
$(B)/bad_entry.elf: HEAP := 0x10000
$(B)/bad_entry.elf: $(call service_obj,$(RUNTIME_SRC) tests/service/bad_entry.c) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(filter %.o,$^)

guests: $(B)/bad_entry.bin
