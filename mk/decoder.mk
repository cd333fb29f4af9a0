## make fuzz-insn        fuzz the instruction decoder and emulator (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_INSN_SOURCES := tests/fuzz/fuzz_insn.c $(sort $(wildcard drivers-vm/lib/insn_*.c)) drivers-vm/lib/guest_walk.c
.PHONY: fuzz-insn
$(B)/fuzz/fuzz_insn: $(FUZZ_INSN_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_INSN_SOURCES)
fuzz-insn: $(B)/fuzz/fuzz_insn
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=36864 -len_control=0 -verbosity=0
