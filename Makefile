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
KERNEL_C    := $(sort $(wildcard $(addsuffix /*.c,$(KERNEL_DIRS))))
KERNEL_ASM  := $(sort $(wildcard $(addsuffix /*.asm,$(KERNEL_DIRS))))
KERNEL_OBJ  := $(patsubst %,$(B)/%.o,$(KERNEL_C) $(KERNEL_ASM))
# No indirect branch that a guest could have taught the CPU to mispredict: gcc's name of it, and clang's.
RETPOLINE   := $(shell $(CC) -mindirect-branch=thunk -E -x c /dev/null >/dev/null 2>&1 && echo -mindirect-branch=thunk || echo -mretpoline)
KERNEL_CFLAGS := $(RETPOLINE) $(HERE) -std=gnu11 -O2 -g -ffreestanding -fno-builtin-printf -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
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

## make kernel          build/hilum.elf
kernel: $(B)/hilum.elf
## make services        build/driver.bin and build/control.bin
services: $(B)/driver.bin $(B)/control.bin

$(B)/%.bin: $(B)/%.elf
	@echo "  FLAT  $@"
	$(Q)objcopy -O binary -j .text -j .rodata -j .data $< $@

# What runs at boot, at an end or for an operator is compiled for size: the budget of .text is for the paths that guests wait on.
KERNEL_SMALL := $(wildcard boot/*.c arch/x86_64/acpi*.c arch/x86_64/log*.c) \
	$(addprefix arch/x86_64/,desc.c features.c format.c ioapic.c panic.c speculation.c trap.c tsc.c) \
	$(addprefix kernel/,cpuid.c device.c host.c object.c sched_place.c start.c state.c vm.c) \
	$(addprefix mm/,amdvi.c host_pt.c init.c iommu.c mmio.c pool.c vtd.c) \
	$(addprefix vmx/,control.c failure.c state.c vmx.c) $(addprefix svm/,state.c svm.c)
$(KERNEL_SMALL:%=$(B)/%.o): KERNEL_CFLAGS += -Os

KERNEL_LINK = $(CC) -nostdlib -static -no-pie -Wl,-T,linker.ld -Wl,--gc-sections -Wl,-z,max-page-size=4096 \
	-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -o

# Linked twice: the second time with the table of function names that a panic's backtrace uses (arch/x86_64/panic.c).
# The table lies behind .text, so both passes agree on its addresses; the rule checks that.
$(B)/hilum.elf: $(KERNEL_OBJ) linker.ld mk/symbols.awk
	@echo "  LD    $@"
	$(Q)awk -f mk/symbols.awk </dev/null >$(B)/symbols.asm && $(NASM) -f elf64 -o $(B)/symbols.o $(B)/symbols.asm
	$(Q)$(KERNEL_LINK) $@.tmp $(KERNEL_OBJ) $(B)/symbols.o
	$(Q)nm -n $@.tmp >$(B)/symbols.1
	$(Q)awk -f mk/symbols.awk $(B)/symbols.1 >$(B)/symbols.asm && $(NASM) -f elf64 -o $(B)/symbols.o $(B)/symbols.asm
	$(Q)$(KERNEL_LINK) $@.tmp $(KERNEL_OBJ) $(B)/symbols.o
	$(Q)nm -n $@.tmp | awk -f mk/symbols.awk | cmp - $(B)/symbols.asm
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
