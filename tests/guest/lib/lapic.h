/*
 * Local APIC of the calling CPU, in whichever mode the CPU is: registers by their xAPIC byte offsets (SDM
 * vol. 3A, "Local APIC Register Address Map"); in x2APIC mode the MSR is 0x800 + offset / 16, and the ICR is
 * one 64-bit register.
 */
#ifndef TESTS_GUEST_LIB_LAPIC_H
#define TESTS_GUEST_LIB_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_BASE 0xFEE00000ull

enum {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_PPR = 0xA0,
	LAPIC_EOI = 0xB0,
	LAPIC_LDR = 0xD0,
	LAPIC_DFR = 0xE0,
	LAPIC_SVR = 0xF0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR_LOW = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3E0,
	LAPIC_SELF_IPI = 0x3F0, /* x2APIC only */
};

#define LAPIC_SVR_ENABLE         (1u << 8)
#define LAPIC_LVT_MASKED         (1u << 16)
#define LAPIC_TIMER_PERIODIC     (1u << 17)
#define LAPIC_TIMER_TSC_DEADLINE (2u << 17)

#define LAPIC_ICR_LOWEST  (1u << 8)
#define LAPIC_ICR_NMI     (4u << 8)
#define LAPIC_ICR_INIT    (5u << 8)
#define LAPIC_ICR_STARTUP (6u << 8)
#define LAPIC_ICR_LOGICAL (1u << 11)
#define LAPIC_ICR_PENDING (1u << 12)
#define LAPIC_ICR_ASSERT  (1u << 14)
#define LAPIC_ICR_SELF    (1u << 18)
#define LAPIC_ICR_ALL     (2u << 18)
#define LAPIC_ICR_OTHERS  (3u << 18)
#define APIC_BASE_BSP     (1ull << 8)
#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ENABLE  (1ull << 11)

/*
 * Takes note of the mode, enables the APIC with VEC_SPURIOUS, masks every LVT entry, TPR 0; on the first CPU
 * the PICs too.
 */
void lapic_init(void);

uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t value);
void lapic_eoi(void);

/* Id of the calling CPU (8 bits in xAPIC mode, 32 in x2APIC mode). */
uint32_t lapic_id(void);

/* Writes the ICR; waits for the pending bit first in xAPIC mode. destination: APIC id, or logical mask. */
void lapic_send(uint32_t destination, uint32_t icr_low);

/* Bit of a vector in IRR, ISR or TMR. */
bool lapic_vector_bit(unsigned reg, unsigned vector);

/* Whether CPUID offers x2APIC or TSC-deadline. */
bool lapic_has_x2apic(void);
bool lapic_has_tsc_deadline(void);

/*
 * Switches mode on the calling CPU. To xAPIC goes through the disabled state, as the manual demands;
 * registers are reset.
 */
void lapic_enter_x2apic(void);
void lapic_enter_xapic(void);

#endif
