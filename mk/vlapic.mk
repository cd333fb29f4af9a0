## make count-vlapic    instructions of the local APIC's frequent paths, from the kernel's own objects
VLAPIC_OBJ := $(patsubst %,$(B)/%.o,$(sort $(wildcard kernel/vlapic*.c)))

.PHONY: count-vlapic
count-vlapic: $(B)/unit/count_vlapic
	@$<

# The kernel's code model puts addresses in 32 bits: a fixed-address executable has them there too.
$(B)/unit/count_vlapic: tests/unit/fake_vlapic/count.c $(VLAPIC_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -fcf-protection=none -no-pie -fno-pie -Wl,-z,noexecstack -I. -Iinclude -o $@ $^
