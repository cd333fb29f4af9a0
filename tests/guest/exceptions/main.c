/*
 * Exceptions, interrupts and debug traps as a guest sees them: vector, error code, saved RIP, CR2, DR6.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/test.h"

static const struct test_case cases[] = {
	{ "divide_error", faults_divide },
	{ "invalid_opcode", faults_invalid_opcode },
	{ "breakpoint", faults_breakpoint },
	{ "device_not_available", faults_device_not_available },
	{ "general_protection", faults_general_protection },
	{ "control_registers", faults_control_registers },
	{ "segments", faults_segments },
	{ "gates", faults_gates },
	{ "gate_of_interrupt", faults_gate_of_interrupt },
	{ "page_fault", faults_page },
	{ "page_fault_crossing", faults_page_crossing },
	{ "math_fault", faults_math },
	{ "simd_fault", faults_simd },
	{ "double_fault", faults_double },
	{ "nested_faults", faults_nested },
	{ "user_privileged", user_privileged },
	{ "user_gates", user_gates },
	{ "user_io_bitmap", user_io_bitmap },
	{ "user_page_fault", user_page },
	{ "user_alignment", user_alignment },
	{ "user_syscall", user_syscall },
	{ "single_step", debug_single_step },
	{ "single_step_over_exits", debug_step_over_exit },
	{ "icebp", debug_icebp },
	{ "execute_breakpoint", debug_execute_breakpoint },
	{ "watchpoint", debug_watchpoint },
	{ "io_breakpoint", debug_io_breakpoint },
	{ "general_detect", debug_general_detect },
	{ "debug_register_alias", debug_register_alias },
	{ "debug_registers_kept", debug_registers_kept },
	{ "nmi", events_nmi },
	{ "nmi_blocked_until_iret", events_nmi_blocked },
	{ "sti_shadow", events_sti_shadow },
	{ "sti_cli", events_sti_cli },
	{ "sti_then_exit", events_sti_then_exit },
	{ "mov_ss_shadow", events_mov_ss_shadow },
	{ "hlt_wakes", events_hlt },
	{ "interrupt_priority", events_priority },
};

void guest_main(void)
{
	TEST_RUN(cases);
}
