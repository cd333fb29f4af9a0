## make guests          build/guest/*.elf, the test guests (tests/guest/NAME/)
## make guests-check    run them on the bare emulator
GUESTS       := exceptions lapic cpuid_msr paging io fpu smp_tsc hostile neighbour bench sched channel
GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing -fno-common \
	-ffunction-sections -fdata-sections $(WARN) -I. -Iinclude
guest_obj     = $(patsubst tests/guest/%,$(B)/guest/obj/%.o,$(sort $(wildcard tests/guest/$(1)/*.c tests/guest/$(1)/*.asm)))
GUEST_LIB_OBJ := $(call guest_obj,lib)

.PHONY: guests guests-check
guests: $(GUESTS:%=$(B)/guest/%.elf)

$(B)/guest/obj/%.c.o: tests/guest/%.c
	@mkdir -p $(@D)
	@echo "  CC    $< (guest)"
	$(Q)$(CC) $(GUEST_CFLAGS) $(DEPS) -c -o $@ $<

$(B)/guest/obj/%.asm.o: tests/guest/%.asm
	@mkdir -p $(@D)
	@echo "  NASM  $< (guest)"
	$(Q)$(NASM) -f elf64 -g -F dwarf -I. -o $@ $<

# The debugger wants the ELF64 file, Multiboot loaders the ELF32 one.
define guest_rules
$(B)/guest/$(1).elf64: $(call guest_obj,$(1)) $(GUEST_LIB_OBJ) tests/guest/lib/guest.ld
	@echo "  LD    $$@"
	$$(Q)$$(CC) -nostdlib -static -Wl,-T,tests/guest/lib/guest.ld -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $$@ $$(filter %.o,$$^)
$(B)/guest/$(1).elf: $(B)/guest/$(1).elf64
	$$(Q)objcopy -S -O elf32-i386 $$< $$@
endef
$(foreach g,$(GUESTS),$(eval $(call guest_rules,$(g))))

guests-check: guests
	tests/guest/check-bare $(GUESTS:%=$(B)/guest/%.elf)
