/*
 * The real-time clock and CMOS RAM of a PC: Motorola MC146818A datasheet. Time is worked out from the host's
 * clock when it is looked at; timers are armed only while an interrupt that needs them is enabled.
 */
#ifndef DRIVERS_VM_DRIVER_RTC_H
#define DRIVERS_VM_DRIVER_RTC_H

#include "drivers-vm/driver/model_host.h"

#define RTC_BYTES 128u

#define RTC_SECONDS       0x00u
#define RTC_SECONDS_ALARM 0x01u
#define RTC_MINUTES       0x02u
#define RTC_MINUTES_ALARM 0x03u
#define RTC_HOURS         0x04u
#define RTC_HOURS_ALARM   0x05u
#define RTC_WEEKDAY       0x06u
#define RTC_DAY           0x07u
#define RTC_MONTH         0x08u
#define RTC_YEAR          0x09u
#define RTC_A             0x0Au
#define RTC_B             0x0Bu
#define RTC_C             0x0Cu
#define RTC_D             0x0Du
#define RTC_CENTURY       0x32u

#define RTC_A_UIP     0x80u
#define RTC_A_DIVIDER 0x70u
#define RTC_A_RATE    0x0Fu
#define RTC_B_SET     0x80u
#define RTC_B_PIE     0x40u
#define RTC_B_AIE     0x20u
#define RTC_B_UIE     0x10u
#define RTC_B_DM      0x04u /* binary */
#define RTC_B_24      0x02u
#define RTC_C_IRQF    0x80u
#define RTC_C_PF      0x40u
#define RTC_C_AF      0x20u
#define RTC_C_UF      0x10u
#define RTC_D_VRT     0x80u

struct rtc {
	const struct model_host *host;
	struct model_irq irq;
	uint8_t ram[RTC_BYTES]; /* bytes 0..9 and the century hold the time only while the clock is stopped */
	uint8_t index;
	bool stopped;         /* by SET or by the divider */
	bool held;            /* the divider chain is in reset */
	int64_t base_seconds; /* seconds since 1970-01-01 00:00 at base_ns */
	uint64_t base_ns;
	uint64_t flags_ns; /* up to when register C's flags have been worked out */
};

/* `epoch_seconds`: the calendar time now, as seconds since 1970-01-01 00:00 UTC (years 1970 to 9999). */
void rtc_init(struct rtc *rtc, const struct model_host *host, struct model_irq irq, int64_t epoch_seconds);

/* RESET pin: interrupts off, time and RAM kept. */
void rtc_reset(struct rtc *rtc);

/* Ports 70h (`offset` 0) and 71h (1). */
uint8_t rtc_read(struct rtc *rtc, unsigned offset);
void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value);

/* MODEL_TIMER_RTC_PERIODIC or MODEL_TIMER_RTC_SECOND has expired. */
void rtc_timer(struct rtc *rtc);

#endif
