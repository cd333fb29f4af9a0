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

# The real backends on pretended CPUs (tests/unit/fake_cpus), instead of the fake one in kernel_fake.a. As objects of their own: files of
# the two vendors have the same names.
KBACKEND_SRC   := svm/run.c svm/state.c svm/vcpu.c vmx/apic.c vmx/control.c vmx/failure.c vmx/run.c vmx/state.c vmx/vcpu.c \
	$(sort $(wildcard tests/unit/fake_cpus/*.c))
KBACKEND_FLAGS := -iquote tests/unit/fake_cpus

$(B)/unit/backends_fake.a: $(patsubst %,$(B)/unit/backends_fake/%.o,$(KBACKEND_SRC))
	@rm -f $@
	@ar rcs $@ $^

$(B)/unit/backends_fake/%.c.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) $(KBACKEND_FLAGS) $(shell cat tests/unit/fake_kernel/fake.flags) $(DEPS) -c -o $@ $<
