# build/debug_stops.bin, a control VM for tests/system (tests/service/) that debugs a guest of its own; made with the test guests.
DEBUG_STOPS_SRC := $(RUNTIME_SRC) $(addprefix drivers-vm/control/gdb/,stub.c packet.c text.c registers.c memory.c points.c run.c \
	debug_registers.c commands.c queries.c monitor.c) tests/service/debug_stops.c tests/service/debug_guest.asm
$(B)/debug_stops.elf: HEAP := 0x10000
$(B)/debug_stops.elf: $(call service_obj,$(DEBUG_STOPS_SRC)) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(call service_obj,$(DEBUG_STOPS_SRC))

guests: $(B)/debug_stops.bin
