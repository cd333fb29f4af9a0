/*
 * Parts of the io guest.
 */
#ifndef TESTS_GUEST_IO_LOCAL_H
#define TESTS_GUEST_IO_LOCAL_H

#include <stdint.h>

#define WAIT_US     5000000
#define QUIET_US    20000
#define IOAPIC_BASE 0xFEC00000ull

/* ports.c */
void ports_unclaimed(void);
void ports_uart_registers(void);
void ports_uart_loopback(void);
void ports_pci_config(void);
void ports_rtc(void);
void ports_pic_registers(void);
void ports_pit_counts(void);
void ports_pit_readback(void);

/* strings.c */
void strings_outs(void);
void strings_ins(void);
void strings_backward(void);
void strings_crossing(void);
void strings_fault(void);
void strings_read_only(void);
void strings_address_size(void);

/* mmio.c */
void mmio_ioapic_registers(void);
void mmio_arithmetic(void);
void mmio_exchange(void);
void mmio_stack(void);
void mmio_string(void);
void mmio_bits(void);
void mmio_addressing(void);
void mmio_ecam_sizes(void);
void mmio_page_crossing(void);
void mmio_nothing_there(void);

/* interrupts.c */
void interrupts_pit_by_pic(void);
void interrupts_pit_by_ioapic(void);
void interrupts_one_shot(void);
void interrupts_rtc(void);
void interrupts_uart_edge(void);
void interrupts_uart_level(void);

uint32_t ioapic_read(unsigned reg);
void ioapic_write(unsigned reg, uint32_t value);
/* Redirection entry of a pin; destination is the first CPU. */
void ioapic_route(unsigned pin, uint32_t low);

#endif
