# For scripts/coverage, which calls make with a B and UNIT_CHECKS of its own.
# What lines there are: root mode compiled with counters as if it were to be run, which it is not.
.PHONY: coverage-baseline
coverage-baseline: $(KERNEL_C:%=$(B)/baseline/%.o)
$(B)/baseline/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) -O1 --coverage $(DEPS) -c -o $@ $<

# The fuzz targets of root mode, to be run with the files of their corpora. Their archives are those of the unit tests.
# What clang and its sanitisers alone have.
REPLAY_NOT := -fsanitize-coverage=% -Wl,--wrap=__asan_memcpy
replay_sources = $(patsubst build/fuzz/lib/%,$(B)/unit/%,$(call FUZZ_TAG,tests/fuzz/fuzz_$(1).c,FUZZ_SOURCES))
.SECONDEXPANSION:
$(B)/replay/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $$(call replay_sources,$$*)
	@mkdir -p $(@D)
	@echo "  REPLAY $<"
	$(Q)$(CC) $(UNIT_CFLAGS) $(filter-out $(REPLAY_NOT),$(call FUZZ_TAG,$<,FUZZ_FLAGS)) -o $@ $^ $(filter -l%,$(call FUZZ_TAG,$<,FUZZ_FLAGS))
