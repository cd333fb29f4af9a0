/*
 * Counts the instructions of the local APIC's frequent paths, in the very objects that the kernel links. The
 * CPU's trap flag steps through each call; an empty call is subtracted. Exits with 1 where a budget is
 * passed.
 */
#include "kernel/vlapic_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct vlapic_bus bus;
static struct vlapic apic[64];
static volatile sig_atomic_t steps;
static volatile int sink;

void vlapic_notify(struct vlapic *target, enum vlapic_notice what)
{
	(void)target;
	(void)what;
}

void vlapic_timer_set(struct vlapic *v, uint64_t host_tsc)
{
	(void)v;
	(void)host_tsc;
}

void vlapic_timer_cancel(struct vlapic *v)
{
	(void)v;
}

void vlapic_eoi_level(struct vlapic *v, uint8_t vector)
{
	(void)v;
	(void)vector;
}

static void on_step(int signal)
{
	(void)signal;
	steps++;
}

static void nothing(void)
{
}

static void pending(void)
{
	sink = vlapic_pending(&apic[0]);
}

static void take(void)
{
	vlapic_take(&apic[0], 0xF0);
}

static void eoi(void)
{
	vlapic_eoi(&apic[0]);
}

static void eoi_page(void)
{
	vlapic_mmio_write(&apic[0], 0xB0, 0);
}

static void eoi_msr(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x80B, 0);
}

static void self_ipi_msr(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x83F, 0xF0);
}

static void icr_self_msr(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x830, 0x440F0);
}

static void icr_self_page(void)
{
	vlapic_mmio_write(&apic[0], 0x300, 0x440F0);
}

static void icr_other_msr(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x830, 0x1000040F0);
}

static void icr_other_page(void)
{
	vlapic_mmio_write(&apic[0], 0x310, 0x01000000);
	vlapic_mmio_write(&apic[0], 0x300, 0x40F0);
}

static void tpr_page(void)
{
	vlapic_mmio_write(&apic[0], 0x80, 0x20);
}

static void deadline_future(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x6E0, UINT64_MAX / 2);
}

static void deadline_passed(void)
{
	(void)!vlapic_msr_write(&apic[0], 0x6E0, 1);
}

static void expired(void)
{
	vlapic_timer_expired(&apic[0]);
}

static void msi(void)
{
	(void)!vlapic_deliver_msi(&bus, 0xFEE01000, 0x40F0);
}

static void set_mode(bool x2apic)
{
	for (unsigned i = 0; i < 4; i++) {
		vlapic_init(&apic[i], &bus, i, true);
		if (x2apic && vlapic_msr_write(&apic[i], 0x1B, 0xFEE00C00) != STATUS_OK)
			exit(2);
		if (x2apic && vlapic_msr_write(&apic[i], 0x80F, 0x1FF) != STATUS_OK)
			exit(2);
		if (!x2apic)
			vlapic_mmio_write(&apic[i], 0xF0, 0x1FF);
	}
}

static void one_pending(void)
{
	set_mode(true);
	icr_self_msr();
}

static void one_in_service(void)
{
	one_pending();
	take();
}

static void two_in_service(void)
{
	set_mode(true);
	(void)!vlapic_msr_write(&apic[0], 0x83F, 0x31);
	vlapic_take(&apic[0], 0x31);
	(void)!vlapic_msr_write(&apic[0], 0x83F, 0xF0);
	take();
}

static void page_in_service(void)
{
	set_mode(false);
	icr_self_page();
	take();
}

static void page_mode(void)
{
	set_mode(false);
}

static void msr_mode(void)
{
	set_mode(true);
}

static void deadline_mode(void)
{
	set_mode(true);
	(void)!vlapic_msr_write(&apic[0], 0x832, 0x400F0);
}

static void deadline_due(void)
{
	deadline_mode();
	deadline_future();
	apic[0].deadline_tsc = 1;
}

static unsigned count(void (*prepare)(void), void (*path)(void))
{
	prepare();
	steps = 0;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
	path();
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
	return (unsigned)steps;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*prepare)(void), (*path)(void);
		unsigned budget;
	} paths[] = {
		{ "pending_none", msr_mode, pending, 12 },
		{ "pending_one", one_pending, pending, 30 },
		{ "take", one_pending, take, 20 },
		{ "eoi", one_in_service, eoi, 40 },
		{ "eoi_nested", two_in_service, eoi, 70 },
		{ "eoi_page", page_in_service, eoi_page, 50 },
		{ "eoi_msr", one_in_service, eoi_msr, 60 },
		{ "self_ipi_msr", msr_mode, self_ipi_msr, 100 },
		{ "icr_self_msr", msr_mode, icr_self_msr, 100 },
		{ "icr_self_page", page_mode, icr_self_page, 90 },
		{ "icr_other_msr", msr_mode, icr_other_msr, 150 },
		{ "icr_other_page", page_mode, icr_other_page, 150 },
		{ "msi", msr_mode, msi, 110 },
		{ "tpr_page", page_mode, tpr_page, 55 },
		{ "deadline_future", deadline_mode, deadline_future, 70 },
		{ "deadline_passed", deadline_mode, deadline_passed, 130 },
		{ "timer_expired", deadline_due, expired, 100 },
	};
	unsigned empty, failed = 0;

	signal(SIGTRAP, on_step);
	empty = count(nothing, nothing);
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		unsigned steps_taken = count(paths[i].prepare, paths[i].path) - empty;

		printf("vlapic_%s %u instructions%s\n", paths[i].name, steps_taken, steps_taken > paths[i].budget ? " OVER BUDGET" : "");
		failed += steps_taken > paths[i].budget;
	}
	return failed != 0;
}
