# Hilum: `make` builds everything; `make help` lists the targets. Needs no network once scripts/setup and the
# scripts/fetch-* that it calls by itself have run.
CC      ?= gcc
NASM    ?= nasm
B       := build
V       ?=
Q       := $(if $(V),,@)

WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
DEPS     = -MMD -MP -MF $(@:.o=.d)

# The same sources give the same bytes in whatever directory they lie (tests/system/test_build.py): no path of this one gets into them. nasm
# knows no way to leave it out of its line numbers: a debugger that is to show .asm files wants make ASM_DEBUG='-g -F dwarf'.
HERE        := -ffile-prefix-map=$(CURDIR)=.
ASM_DEBUG   ?=

KERNEL_DIRS := boot arch/x86_64 kernel svm vmx mm
KERNEL_C    := $(filter-out kernel/signature.c,$(sort $(wildcard $(addsuffix /*.c,$(KERNEL_DIRS)))))
KERNEL_ASM  := $(sort $(wildcard $(addsuffix /*.asm,$(KERNEL_DIRS))))
KERNEL_OBJ  := $(patsubst %,$(B)/%.o,$(KERNEL_C) $(KERNEL_ASM))
# Another place for the image: one with a key beside the one without (SIGNING_KEY, below).
KERNEL_ELF ?= $(B)/hilum.elf
# No indirect branch that a guest could have taught the CPU to mispredict: gcc's name of it, and clang's.
RETPOLINE   := $(shell $(CC) -mindirect-branch=thunk -E -x c /dev/null >/dev/null 2>&1 && echo -mindirect-branch=thunk || echo -mretpoline)
# Functions with arrays or with variables whose address goes elsewhere look at a random word beyond them when they end. One for all cores, at a
# fixed place: GS, where compilers look for it otherwise, is a guest's.
STACK_GUARD := -fstack-protector-strong -mstack-protector-guard=global
KERNEL_CFLAGS  = $(RETPOLINE) $(HERE) -std=gnu11 -O2 -g -ffreestanding -fno-builtin-printf -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only $(STACK_GUARD) -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	-fcf-protection=none -fno-strict-aliasing -fno-common -ffunction-sections -fdata-sections $(WARN) -I. -Iinclude

# Service VMs: one runtime, two images. Freestanding; the runtime's include/ replaces libc's headers.
GCC_INCLUDE := $(shell $(CC) -print-file-name=include)
SERVICE_CFLAGS := $(RETPOLINE) $(HERE) -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing -fno-common \
	-ffunction-sections -fdata-sections -nostdinc -isystem drivers-vm/runtime/include -isystem $(GCC_INCLUDE) \
	$(WARN) -I. -Iinclude
RUNTIME_SRC := $(sort $(wildcard drivers-vm/runtime/*.c drivers-vm/runtime/*.asm drivers-vm/lib/*.c))
DRIVER_SRC  := $(RUNTIME_SRC) $(sort $(wildcard drivers-vm/driver/*.c))
CONTROL_SRC := $(RUNTIME_SRC) $(sort $(wildcard drivers-vm/control/*.c drivers-vm/control/*/*.c)) $(B)/web_files.c
service_obj  = $(patsubst %,$(B)/service/%.o,$(1))

.PHONY: all kernel services help clean format
all: kernel services

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make format          C files as .clang-format says (check/format looks)
format:
	$(Q)git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

## make kernel          build/hilum.elf; with SIGNING_KEY=FILE it starts only what is signed with that key (scripts/sign)
kernel: $(KERNEL_ELF)
## make services        build/driver.bin and build/control.bin
services: $(B)/driver.bin $(B)/control.bin

$(B)/%.bin: $(B)/%.elf
	@echo "  FLAT  $@"
	$(Q)objcopy -O binary -j .text -j .rodata -j .data $< $@

# What runs at boot, at an end or for an operator is compiled for size: the budget of .text is for the paths that guests wait on.
KERNEL_SMALL := $(wildcard boot/*.c arch/x86_64/acpi*.c arch/x86_64/log*.c) \
	$(addprefix arch/x86_64/,desc.c features.c format.c ioapic.c panic.c speculation.c trap.c tsc.c) \
	$(addprefix kernel/,cpuid.c device.c host.c object.c sched_place.c signature.c start.c state.c vm.c) \
	$(addprefix mm/,amdvi.c host_pt.c init.c iommu.c mmio.c pool.c vtd.c) \
	$(addprefix vmx/,control.c failure.c state.c vmx.c) $(addprefix svm/,state.c svm.c)
$(KERNEL_SMALL:%=$(B)/%.o): KERNEL_CFLAGS += -Os

KERNEL_LINK = $(CC) -nostdlib -static -no-pie -Wl,-T,linker.ld -Wl,--gc-sections -Wl,-z,max-page-size=4096 \
	-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o

# make SIGNING_KEY=FILE: this kernel refuses service images and a configuration that are not signed with that RSA key of 3072 bits, whose public
# half goes into it (FILE may hold that alone). Without a key nothing of the check is in the image.
ifneq ($(SIGNING_KEY),)
KERNEL_OBJ  += $(B)/kernel/signature.c.o $(KERNEL_ELF).key.o
endif

# Rewritten when the key is another one than last time, or none.
.PHONY: signing-key
signing-key: ;
$(KERNEL_ELF).key: signing-key
	@mkdir -p $(@D)
	$(Q)if [ -n "$(SIGNING_KEY)" ]; then scripts/sign --modulus "$(SIGNING_KEY)"; else echo none; fi >$@.new
	$(Q)if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi

$(KERNEL_ELF).key.c: $(KERNEL_ELF).key mk/signature.awk
	$(Q)awk -f mk/signature.awk $< >$@
$(KERNEL_ELF).key.o: $(KERNEL_ELF).key.c
	$(Q)$(CC) $(KERNEL_CFLAGS) -c -o $@ $<

# Linked twice: the second time with the table of function names that a panic's backtrace uses (arch/x86_64/panic.c).
# The table lies behind .text, so both passes agree on its addresses; the rule checks that.
$(KERNEL_ELF): $(KERNEL_OBJ) linker.ld mk/symbols.awk $(KERNEL_ELF).key
	@echo "  LD    $@"
	$(Q)awk -f mk/symbols.awk </dev/null >$@.symbols.asm && $(NASM) -f elf64 -o $@.symbols.o $@.symbols.asm
	$(Q)$(KERNEL_LINK) $@.tmp $(KERNEL_OBJ) $@.symbols.o
	$(Q)nm -n $@.tmp >$@.symbols
	$(Q)awk -f mk/symbols.awk $@.symbols >$@.symbols.asm && $(NASM) -f elf64 -o $@.symbols.o $@.symbols.asm
	$(Q)$(KERNEL_LINK) $@.tmp $(KERNEL_OBJ) $@.symbols.o
	$(Q)nm -n $@.tmp | awk -f mk/symbols.awk | cmp - $@.symbols.asm
	$(Q)mv $@.tmp $@

# Heap of each image, bytes: what its VM gets beyond text, data and stacks.
$(B)/driver.elf: HEAP := 0x800000
$(B)/control.elf: HEAP := 0xE00000
$(B)/control.elf: VCPUS := -Wl,--defsym=__vcpus=1

$(B)/driver.elf: $(call service_obj,$(DRIVER_SRC)) $(B)/lwip.a drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(call service_obj,$(DRIVER_SRC)) $(B)/lwip.a

CONTROL_LIBS := $(B)/lwip-control.a $(B)/mbedtls.a
$(B)/control.elf: $(call service_obj,$(CONTROL_SRC)) $(CONTROL_LIBS) drivers-vm/runtime/service.ld
	@echo "  LD    $@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,drivers-vm/runtime/service.ld -Wl,--defsym=__heap_bytes=$(HEAP) $(VCPUS) -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o $@ $(call service_obj,$(CONTROL_SRC)) $(CONTROL_LIBS)

$(B)/service/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $< (service)"
	$(Q)$(CC) $(SERVICE_CFLAGS) $(DEPS) -c -o $@ $<

$(B)/service/%.asm.o: %.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	$(Q)$(NASM) -f elf64 $(ASM_DEBUG) -I. -o $@ $<

$(B)/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(KERNEL_CFLAGS) $(DEPS) -c -o $@ $<

# What each exit runs through has no room for the look at the guard, 6 instructions a function (docs/decisions/0019-hardening.md).
KERNEL_HOT := $(addprefix kernel/,exit.c fetch.c msr.c vlapic.c vm.c) arch/x86_64/insn_length.c mm/memory.c svm/run.c vmx/apic.c vmx/run.c
$(KERNEL_HOT:%=$(B)/%.o): STACK_GUARD := -fno-stack-protector

# Called seldom, and large at -O2: they inline the walk of a nested table at each look.
$(B)/mm/memory_frames.c.o $(B)/kernel/vm_memory.c.o: KERNEL_CFLAGS += -Os

$(B)/%.asm.o: %.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	$(Q)$(NASM) -f elf64 $(ASM_DEBUG) -I. -I$(B)/ -MD $(@:.o=.d) -MP -o $@ $<

clean:
	rm -rf $(B)

# Each area adds its own targets in a fragment of its own.
-include $(wildcard mk/*.mk)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
