/*
 * Parts of the lapic guest. Cases named here run in xAPIC and, where offered, in x2APIC mode too.
 */
#ifndef TESTS_GUEST_LAPIC_LOCAL_H
#define TESTS_GUEST_LAPIC_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#define WAIT_US  5000000 /* for what must happen */
#define STORM    400
#define QUIET_US 3000 /* for what must not */

/* registers.c */
void regs_id_version(void);
void regs_tpr(void);
void regs_ppr(void);
void regs_priority_blocks(void);
void regs_nested(void);
void regs_merge(void);
void regs_eoi_idle(void);
void regs_lvt(void);
void regs_software_disable(void);
void regs_illegal_vector(void);

/* cr8.c */
void cr8_is_tpr(void);
void cr8_holds(void);
void cr8_lowered_before(void);
void cr8_and_if(void);
void cr8_holds_timer(void);
void cr8_halt(void);
void cr8_in_handler(void);

/* ipi.c */
void ipi_self(void);
void ipi_physical(void);
void ipi_shorthands(void);
void ipi_broadcast(void);
void ipi_logical_flat(void);    /* xAPIC */
void ipi_logical_cluster(void); /* xAPIC */
void ipi_logical_x2apic(void);  /* x2APIC */
void ipi_lowest_priority(void);
void ipi_nmi(void);
void ipi_nmi_storm(void);
void ipi_wakes_hlt(void);
void ipi_absent(void);
void ipi_init_sipi(void);

/* timer.c */
void timer_dividers(void);
void timer_one_shot(void);
void timer_periodic(void);
void timer_masked(void);
void timer_stop(void);
void timer_restart(void);
void timer_deadline(void);
void timer_deadline_past(void);
void timer_deadline_disarm(void);
void timer_deadline_modes(void);

/* modes.c */
void mode_refused_transitions(void);
void mode_disabled(void);
void mode_x2apic_registers(void);
void mode_x2apic_refused_in_xapic(void);
void mode_round_trip(void);

#endif
