## make bench-images    the service VM that scripts/bench measures a call between VMs with
.PHONY: bench-images
bench-images: $(B)/null-handler.bin

NULL_HANDLER_OBJ := $(call service_obj,$(DRIVER_SRC) tests/service/null_handler.c)
$(B)/null-handler.elf: $(NULL_HANDLER_OBJ) $(B)/lwip.a drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=0x400000 -Wl,--gc-sections \
		-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,--wrap=slot_trap -o $@ $(NULL_HANDLER_OBJ) $(B)/lwip.a
