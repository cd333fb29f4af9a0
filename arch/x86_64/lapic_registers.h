/* Numbers and bits of the local APIC, the host's own and those that guests see. SDM vol. 3A, chapter 11. */
#ifndef ARCH_X86_64_LAPIC_REGISTERS_H
#define ARCH_X86_64_LAPIC_REGISTERS_H

#define MSR_IA32_APIC_BASE    0x1Bu
#define MSR_IA32_TSC_DEADLINE 0x6E0u
#define MSR_X2APIC_FIRST      0x800u

#define APIC_BASE_EXTD (1ull << 10)
#define APIC_BASE_EN   (1ull << 11)

/* SDM vol. 3A, table "Local APIC Register Address Map": offset / 16, which is also the x2APIC MSR - 800h. */
enum lapic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_APR = 0x09,
	APIC_PPR = 0x0A,
	APIC_EOI = 0x0B,
	APIC_RRD = 0x0C,
	APIC_LDR = 0x0D,
	APIC_DFR = 0x0E,
	APIC_SVR = 0x0F,
	APIC_ISR = 0x10, /* eight each */
	APIC_TMR = 0x18,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_ICR_LOW = 0x30, /* x2APIC: all 64 bits */
	APIC_ICR_HIGH = 0x31,
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_THERMAL = 0x33,
	APIC_LVT_PERF = 0x34,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36,
	APIC_LVT_ERROR = 0x37,
	APIC_INITIAL_COUNT = 0x38,
	APIC_CURRENT_COUNT = 0x39,
	APIC_DIVIDE = 0x3E,
	APIC_SELF_IPI = 0x3F,
	APIC_REGISTER_COUNT = 0x40
};

#define APIC_SVR_ENABLE (1u << 8)
#define APIC_LVT_MASKED (1u << 16)
#define APIC_ICR_STATUS (1u << 12) /* xAPIC only: being sent */
#define APIC_ICR_ASSERT (1u << 14)

/* Modes of the timer; with both bits reserved: nothing runs */
#define APIC_LVT_TIMER_PERIODIC (1u << 17)
#define APIC_LVT_TIMER_DEADLINE (1u << 18)

#endif
