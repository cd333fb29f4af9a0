/*
 * The platform's devices through every kind of access: ports of all sizes, string I/O, MMIO by odd
 * instructions, interrupts.
 */
#include "tests/guest/io/local.h"
#include "tests/guest/lib/test.h"

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "unclaimed_ports", ports_unclaimed },
		{ "uart_registers", ports_uart_registers },
		{ "uart_loopback", ports_uart_loopback },
		{ "pci_config_sizes", ports_pci_config },
		{ "rtc", ports_rtc },
		{ "pic_registers", ports_pic_registers },
		{ "pit_counts", ports_pit_counts },
		{ "pit_read_back", ports_pit_readback },
		{ "rep_outs", strings_outs },
		{ "rep_ins", strings_ins },
		{ "string_backward", strings_backward },
		{ "string_page_crossing", strings_crossing },
		{ "string_page_fault", strings_fault },
		{ "string_read_only_page", strings_read_only },
		{ "string_address_size", strings_address_size },
		{ "mmio_ioapic_registers", mmio_ioapic_registers },
		{ "mmio_arithmetic", mmio_arithmetic },
		{ "mmio_exchange", mmio_exchange },
		{ "mmio_stack", mmio_stack },
		{ "mmio_string", mmio_string },
		{ "mmio_bits", mmio_bits },
		{ "mmio_addressing", mmio_addressing },
		{ "mmio_ecam_sizes", mmio_ecam_sizes },
		{ "mmio_page_crossing", mmio_page_crossing },
		{ "mmio_nothing_there", mmio_nothing_there },
		{ "pit_by_pic", interrupts_pit_by_pic },
		{ "pit_by_ioapic", interrupts_pit_by_ioapic },
		{ "pit_one_shot", interrupts_one_shot },
		{ "rtc_interrupt", interrupts_rtc },
		{ "uart_edge_interrupt", interrupts_uart_edge },
		{ "uart_level_interrupt", interrupts_uart_level },
	};

	TEST_RUN(cases);
}
