/*
 * A VM of two vCPUs for tests of the GDB stub: 64 KiB of RAM with page tables in it, states, and a record of what was asked. Nothing
 * executes: a test says what a vCPU stops for.
 */
#ifndef TESTS_UNIT_FAKE_GDB_VM_H
#define TESTS_UNIT_FAKE_GDB_VM_H

#include "drivers-vm/control/gdb/stub.h"

#include <string.h>

#define VM_VCPUS     2u
#define VM_RAM_BYTES 0x10000u
#define VM_CODE      0xFFFFFFFF81000000ull /* eight pages, the last two of them not mapped and not RAM */
#define VM_CODE_GPA  0x8000u

static struct {
	uint8_t ram[VM_RAM_BYTES];
	struct hilum_vcpu_state state[VM_VCPUS];
	bool runs[VM_VCPUS];
	uint64_t debug[VM_VCPUS], hits[VM_VCPUS];
	uint64_t stops;
	unsigned sets, runs_count, misuses;
	uint32_t set_groups; /* of the last one */
	bool refuse, no_debug_registers;
} vm;

static bool vm_get_state(void *opaque, unsigned n, struct hilum_vcpu_state *out)
{
	(void)opaque;
	vm.misuses += n >= VM_VCPUS || vm.runs[n];
	*out = vm.state[n];
	return true;
}

static bool vm_set_state(void *opaque, unsigned n, const struct hilum_vcpu_state *s, uint32_t mask)
{
	(void)opaque;
	vm.misuses += n >= VM_VCPUS || vm.runs[n];
	if (vm.refuse)
		return false;
	vm.state[n] = *s;
	vm.sets++;
	vm.set_groups = mask;
	return true;
}

static void vm_pause(void *opaque, unsigned n)
{
	(void)opaque;
	vm.misuses += n >= VM_VCPUS;
	vm.runs[n] = false;
}

static void vm_run(void *opaque, unsigned n)
{
	(void)opaque;
	vm.misuses += n >= VM_VCPUS || vm.runs[n];
	vm.runs[n] = true;
	vm.runs_count++;
}

static int64_t vm_set_debug(void *opaque, unsigned n, uint64_t stops)
{
	int64_t hits = (int64_t)vm.hits[n];

	(void)opaque;
	vm.misuses += n >= VM_VCPUS || vm.runs[n] || (stops & ~HILUM_DEBUG_ALL);
	vm.debug[n] = stops;
	vm.hits[n] = 0;
	vm.stops &= ~(1ull << n);
	return hits;
}

static uint64_t vm_stops(void *opaque)
{
	(void)opaque;
	return vm.stops;
}

static bool vm_has_debug_registers(void *opaque)
{
	(void)opaque;
	return !vm.no_debug_registers;
}

static uint8_t *vm_ram(void *opaque, uint64_t gpa, size_t bytes)
{
	(void)opaque;
	vm.misuses += bytes > 4096 || (gpa & 4095) + bytes > 4096;
	return gpa <= VM_RAM_BYTES && bytes <= VM_RAM_BYTES - gpa ? vm.ram + gpa : NULL;
}

static void vm_entry(uint64_t gpa, unsigned index, uint64_t value)
{
	memcpy(vm.ram + gpa + 8 * index, &value, 8);
}

static void vm_map(unsigned page, uint64_t gpa)
{
	vm_entry(0x4000, page, gpa | 3);
}

/* 64-bit code at VM_CODE, in the kernel. */
static void vm_init(void)
{
	memset(&vm, 0, sizeof(vm));
	vm_entry(0x1000, 511, 0x2003);
	vm_entry(0x2000, 510, 0x3003);
	vm_entry(0x3000, 8, 0x4003);
	for (unsigned i = 0; i < 6; i++)
		vm_map(i, VM_CODE_GPA + i * 0x1000);
	vm_map(7, 0xFEC00000); /* a device */
	for (unsigned i = 0; i < 256; i++)
		vm.ram[VM_CODE_GPA + i] = (uint8_t)(0x40 + i % 64);
	for (unsigned i = 0; i < VM_VCPUS; i++) {
		struct hilum_vcpu_state *s = &vm.state[i];
		s->rip = VM_CODE + 0x10 * i;
		s->rflags = 0x202;
		s->cr0 = 0x80050033;
		s->cr3 = 0x1000;
		s->cr4 = 0x3006F0;
		s->efer = 0xD01;
		s->cs = (struct hilum_segment){ 0, 0xFFFFFFFF, 0x10, 0xA9B };
		s->ss = (struct hilum_segment){ 0, 0xFFFFFFFF, 0x18, 0xC93 };
		s->gpr[4] = VM_CODE + 0x1800;
		s->dr6 = 0xFFFF0FF0;
		s->dr7 = 0x400;
	}
}

static const struct gdb_target vm_target = {
	.vcpus = VM_VCPUS,
	.physical_bits = 40,
	.get_state = vm_get_state,
	.set_state = vm_set_state,
	.pause = vm_pause,
	.run = vm_run,
	.set_debug = vm_set_debug,
	.stops = vm_stops,
	.has_debug_registers = vm_has_debug_registers,
	.ram = vm_ram,
};

/* vCPU `n` stops for `bits`. */
static void vm_hit(unsigned n, uint64_t bits)
{
	vm.hits[n] = bits;
	vm.stops |= 1ull << n;
}

#endif
