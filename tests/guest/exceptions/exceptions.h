/*
 * Parts of the exceptions guest: each file exports its cases' functions.
 */
#ifndef TESTS_GUEST_EXCEPTIONS_EXCEPTIONS_H
#define TESTS_GUEST_EXCEPTIONS_EXCEPTIONS_H

#include "tests/guest/lib/trap.h"

/* Where the next trap must report its RIP: the tests' assembly stores the address of its label 1 here. */
extern uint64_t expect_rip;

/*
 * Body of a function that raises an exception at, or just before (put it behind), label 1 in code. Uses rax,
 * rcx, rdx.
 */
#define RAISE(code, ...) \
	__asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %[rip]; " code \
	                 : [rip] "=m"(expect_rip) \
	                 : __VA_ARGS__ \
	                 : "rax", "rcx", "rdx", "rbx", "memory", "cc")

#define DEFINE_RAISE(name, code) \
	static void name(void *unused) \
	{ \
		(void)unused; \
		RAISE(code, "i"(0)); \
	}

/* Runs fn and checks that it raises this vector with this error code at expect_rip. */
void expect_exception(const char *what, void (*fn)(void *), unsigned vector, uint64_t error);

void faults_divide(void);
void faults_invalid_opcode(void);
void faults_breakpoint(void);
void faults_device_not_available(void);
void faults_general_protection(void);
void faults_control_registers(void);
void faults_segments(void);
void faults_gates(void);
void faults_gate_of_interrupt(void);
void faults_page(void);
void faults_page_crossing(void);
void faults_math(void);
void faults_simd(void);
void faults_double(void);
void faults_nested(void);

void user_privileged(void);
void user_gates(void);
void user_io_bitmap(void);
void user_page(void);
void user_alignment(void);
void user_syscall(void);

void debug_single_step(void);
void debug_step_over_exit(void);
void debug_icebp(void);
void debug_execute_breakpoint(void);
void debug_watchpoint(void);
void debug_io_breakpoint(void);
void debug_general_detect(void);
void debug_register_alias(void);
void debug_registers_kept(void);

void events_nmi(void);
void events_nmi_blocked(void);
void events_sti_shadow(void);
void events_sti_cli(void);
void events_sti_then_exit(void);
void events_mov_ss_shadow(void);
void events_hlt(void);
void events_priority(void);

#endif
