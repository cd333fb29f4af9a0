## make fuzz-gdb         fuzz the GDB stub (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_GDB_SOURCES := tests/fuzz/fuzz_gdb.c $(addprefix drivers-vm/control/gdb/,stub.c packet.c text.c registers.c memory.c points.c run.c \
	debug_registers.c commands.c queries.c monitor.c) drivers-vm/lib/guest_walk.c
.PHONY: fuzz-gdb
$(B)/fuzz/fuzz_gdb: $(FUZZ_GDB_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_GDB_SOURCES)
fuzz-gdb: $(B)/fuzz/fuzz_gdb
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=2048 -len_control=0 -verbosity=0
