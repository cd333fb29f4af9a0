# The kernel core and the fake machine under it, compiled once for all tests that link them (tests/unit/fake_kernel/fake.h).
KUNIT_SRC := $(filter-out kernel/start.c kernel/backend.c,$(sort $(wildcard kernel/*.c))) mm/frame.c mm/iommu.c \
	mm/memory.c mm/memory_frames.c mm/mmio.c \
	mm/nested_pt.c mm/pool.c arch/x86_64/insn_length.c \
	$(sort $(wildcard tests/unit/fake_kernel/*.c))
KUNIT_OBJ := $(patsubst %,$(B)/unit/kernel_fake/%.o,$(KUNIT_SRC))

$(B)/unit/kernel_fake.a: $(KUNIT_OBJ)
	@rm -f $@
	@ar rcs $@ $^

$(B)/unit/kernel_fake/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) $(shell cat tests/unit/fake_kernel/fake.flags) $(DEPS) -c -o $@ $<
