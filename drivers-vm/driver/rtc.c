/*
 * The clock's registers and its three interrupts. Register C's flags are worked out lazily: an interrupt that
 * is off, or one that the guest has not acknowledged yet, costs no timer. The day of the week always follows
 * from the date.
 */
#include "drivers-vm/driver/rtc.h"

#include <string.h>

#define SECONDS_PER_DAY 86400
#define UPDATE_NS       244000ull /* UIP rises this long before the update: datasheet, "Update Cycle" */
#define DIVIDER_RESET   0x60u     /* 11x holds the divider chain */
#define ALARM_ANY       0xC0u
#define HOUR_PM         0x80u
#define OSCILLATOR_HZ   32768ull

struct rtc_time {
	unsigned second, minute, hour, weekday, day, month;
	int64_t year;
};

/* ---- Calendar: proleptic Gregorian, years counted from March so that the leap day comes last
 * ------------------------- */

static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	unsigned m = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static void time_from_seconds(int64_t seconds, struct rtc_time *t)
{
	int64_t days = seconds / SECONDS_PER_DAY;
	unsigned rest = seconds % SECONDS_PER_DAY;
	int64_t shifted = days + 719468; /* from 0000-03-01 */
	int64_t era = shifted / 146097;
	unsigned day_of_era = shifted % 146097;
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned m = (5 * day_of_year + 2) / 153;

	t->second = rest % 60;
	t->minute = rest / 60 % 60;
	t->hour = rest / 3600;
	t->weekday = (days + 4) % 7 + 1; /* 1 is Sunday; 1970-01-01 was a Thursday */
	t->day = day_of_year - (153 * m + 2) / 5 + 1;
	t->month = m < 10 ? m + 3 : m - 9;
	t->year = era * 400 + year_of_era + (t->month <= 2);
}

/* ---- Register formats
 * ------------------------------------------------------------------------------------------------- */

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return (rtc->ram[RTC_B] & RTC_B_DM) ? value : (value / 10 << 4) | value % 10;
}

static unsigned decode(const struct rtc *rtc, uint8_t byte)
{
	return (rtc->ram[RTC_B] & RTC_B_DM) ? byte : (byte >> 4) * 10u + (byte & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->ram[RTC_B] & RTC_B_24)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t byte)
{
	if (rtc->ram[RTC_B] & RTC_B_24)
		return decode(rtc, byte);
	return decode(rtc, byte & ~HOUR_PM) % 12 + ((byte & HOUR_PM) ? 12 : 0);
}

/* ---- Time
 * -------------------------------------------------------------------------------------------------------------
 */

static int64_t seconds_at(const struct rtc *rtc, uint64_t ns)
{
	return rtc->base_seconds + (int64_t)((ns - rtc->base_ns) / MODEL_NS_PER_SECOND);
}

static uint64_t ns_of_second(const struct rtc *rtc, int64_t seconds)
{
	return rtc->base_ns + (uint64_t)(seconds - rtc->base_seconds) * MODEL_NS_PER_SECOND;
}

static void registers_from_time(struct rtc *rtc, uint64_t now)
{
	struct rtc_time t;

	time_from_seconds(seconds_at(rtc, now), &t);
	rtc->ram[RTC_SECONDS] = encode(rtc, t.second);
	rtc->ram[RTC_MINUTES] = encode(rtc, t.minute);
	rtc->ram[RTC_HOURS] = encode_hour(rtc, t.hour);
	rtc->ram[RTC_WEEKDAY] = encode(rtc, t.weekday);
	rtc->ram[RTC_DAY] = encode(rtc, t.day);
	rtc->ram[RTC_MONTH] = encode(rtc, t.month);
	rtc->ram[RTC_YEAR] = encode(rtc, t.year % 100);
	rtc->ram[RTC_CENTURY] = encode(rtc, t.year / 100 % 100);
}

/* Nonsense in a field (a 77th minute) carries into the next: any bytes make some time. */
static void time_from_registers(struct rtc *rtc, uint64_t now)
{
	uint64_t phase = (now - rtc->base_ns) % MODEL_NS_PER_SECOND;
	int64_t year = decode(rtc, rtc->ram[RTC_CENTURY]) * 100 + decode(rtc, rtc->ram[RTC_YEAR]);
	unsigned month = decode(rtc, rtc->ram[RTC_MONTH]);
	int64_t days;

	if (month < 1 || month > 12)
		month = 1;
	if (year < 1970)
		year = 1970;
	days = days_from_date(year, month, 1) + decode(rtc, rtc->ram[RTC_DAY]);
	if (days > 0)
		days--; /* days count from 1; a day 0 reads as 1 */
	rtc->base_seconds = days * SECONDS_PER_DAY + decode_hour(rtc, rtc->ram[RTC_HOURS]) * 3600 +
	                    decode(rtc, rtc->ram[RTC_MINUTES]) * 60 + decode(rtc, rtc->ram[RTC_SECONDS]);
	rtc->base_ns = now - phase;
}

/* ---- Alarm and periodic interrupt
 * -------------------------------------------------------------------------------------- */

static bool alarm_matches(uint8_t byte, unsigned alarm, unsigned value)
{
	return (byte & ALARM_ANY) == ALARM_ANY || alarm == value;
}

/* The first second after `after` that the alarm bytes match, or -1 if none ever does. At most a few hundred
 * steps. */
static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
	uint8_t hb = rtc->ram[RTC_HOURS_ALARM], mb = rtc->ram[RTC_MINUTES_ALARM], sb = rtc->ram[RTC_SECONDS_ALARM];
	unsigned hour = decode_hour(rtc, hb), minute = decode(rtc, mb), second = decode(rtc, sb);
	int64_t t = after + 1;

	if (((hb & ALARM_ANY) != ALARM_ANY && hour > 23) || ((mb & ALARM_ANY) != ALARM_ANY && minute > 59) ||
	    ((sb & ALARM_ANY) != ALARM_ANY && second > 59))
		return -1;
	while (t <= after + SECONDS_PER_DAY) {
		if (!alarm_matches(hb, hour, t % SECONDS_PER_DAY / 3600))
			t = (t / 3600 + 1) * 3600;
		else if (!alarm_matches(mb, minute, t / 60 % 60))
			t = (t / 60 + 1) * 60;
		else if (!alarm_matches(sb, second, t % 60))
			t++;
		else
			return t;
	}
	return -1;
}

/* Oscillator ticks between periodic interrupts, 0 if they are off: datasheet, table 5. */
static uint64_t periodic_ticks(const struct rtc *rtc)
{
	unsigned rate = rtc->ram[RTC_A] & RTC_A_RATE;

	if (rate == 0)
		return 0;
	return rate <= 2 ? 1u << (rate + 6) : 1u << (rate - 1);
}

static uint64_t oscillator_ticks(uint64_t ns)
{
	return ns / MODEL_NS_PER_SECOND * OSCILLATOR_HZ + ns % MODEL_NS_PER_SECOND * OSCILLATOR_HZ / MODEL_NS_PER_SECOND;
}

static uint64_t oscillator_ns(uint64_t ticks)
{
	return ticks / OSCILLATOR_HZ * MODEL_NS_PER_SECOND +
	       (ticks % OSCILLATOR_HZ * MODEL_NS_PER_SECOND + OSCILLATOR_HZ - 1) / OSCILLATOR_HZ;
}

/* ---- Flags, interrupt line, timers
 * -------------------------------------------------------------------------------------- */

static void flags_update(struct rtc *rtc, uint64_t now)
{
	uint64_t period = periodic_ticks(rtc);
	uint8_t *flags = &rtc->ram[RTC_C];

	if (period && oscillator_ticks(now) / period != oscillator_ticks(rtc->flags_ns) / period)
		*flags |= RTC_C_PF;
	if (!rtc->stopped) {
		int64_t before = seconds_at(rtc, rtc->flags_ns), after = seconds_at(rtc, now);

		if (before != after) {
			int64_t alarm = next_alarm(rtc, before);

			*flags |= RTC_C_UF;
			if (alarm >= 0 && alarm <= after)
				*flags |= RTC_C_AF;
		}
	}
	rtc->flags_ns = now;
	/* The enable bits of register B sit where their flags do in C. */
	if (*flags & rtc->ram[RTC_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF))
		*flags |= RTC_C_IRQF;
	else
		*flags &= ~RTC_C_IRQF;
	model_irq_set(&rtc->irq, *flags & RTC_C_IRQF);
}

static void timers_update(struct rtc *rtc, uint64_t now)
{
	uint8_t wanted = rtc->ram[RTC_B] & ~rtc->ram[RTC_C];
	uint64_t period = periodic_ticks(rtc);
	uint64_t periodic = 0, second = 0;
	int64_t at = -1;

	if ((wanted & RTC_B_PIE) && period)
		periodic = oscillator_ns((oscillator_ticks(now) / period + 1) * period);
	if (!rtc->stopped && (wanted & RTC_B_UIE))
		at = seconds_at(rtc, now) + 1;
	else if (!rtc->stopped && (wanted & RTC_B_AIE))
		at = next_alarm(rtc, seconds_at(rtc, now));
	if (at >= 0)
		second = ns_of_second(rtc, at);
	model_timer_arm(rtc->host, MODEL_TIMER_RTC_PERIODIC, periodic);
	model_timer_arm(rtc->host, MODEL_TIMER_RTC_SECOND, second);
}

void rtc_timer(struct rtc *rtc)
{
	uint64_t now = model_now(rtc->host);

	flags_update(rtc, now);
	timers_update(rtc, now);
}

/* ---- Ports
 * ---------------------------------------------------------------------------------------------------------------
 */

static bool is_time_register(uint8_t index)
{
	return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS || (index >= RTC_WEEKDAY && index <= RTC_YEAR) ||
	       index == RTC_CENTURY;
}

/* After a change of register A or B: stop or start the clock as they now say. */
static void run_update(struct rtc *rtc, uint64_t now)
{
	bool was_held = rtc->held;
	bool stopped;

	rtc->held = (rtc->ram[RTC_A] & DIVIDER_RESET) == DIVIDER_RESET;
	stopped = rtc->held || (rtc->ram[RTC_B] & RTC_B_SET);

	if (stopped && !rtc->stopped) {
		registers_from_time(rtc, now);
	} else if (!stopped && rtc->stopped) {
		time_from_registers(rtc, now);
	}
	/* The first update comes half a second after the divider's release: datasheet, "Divider Control". */
	if (was_held && !rtc->held)
		rtc->base_ns = now - MODEL_NS_PER_SECOND / 2;
	rtc->stopped = stopped;
}

static void data_write(struct rtc *rtc, uint8_t value)
{
	uint64_t now = model_now(rtc->host);

	flags_update(rtc, now);
	switch (rtc->index) {
	case RTC_A:
		rtc->ram[RTC_A] = value & ~RTC_A_UIP;
		run_update(rtc, now);
		break;
	case RTC_B:
		if (value & RTC_B_SET)
			value &= ~RTC_B_UIE; /* SET clears UIE: datasheet, register B */
		rtc->ram[RTC_B] = value;
		run_update(rtc, now);
		break;
	case RTC_C:
	case RTC_D:
		return; /* read-only */
	default:
		if (is_time_register(rtc->index) && !rtc->stopped) {
			registers_from_time(rtc, now);
			rtc->ram[rtc->index] = value;
			time_from_registers(rtc, now);
		} else {
			rtc->ram[rtc->index] = value;
		}
		break;
	}
	rtc->flags_ns = now;
	flags_update(rtc, now);
	timers_update(rtc, now);
}

static uint8_t data_read(struct rtc *rtc)
{
	uint64_t now;
	uint8_t value;

	if (rtc->index > RTC_D && rtc->index != RTC_CENTURY)
		return rtc->ram[rtc->index];
	now = model_now(rtc->host);
	switch (rtc->index) {
	case RTC_A:
		value = rtc->ram[RTC_A];
		if (!rtc->stopped && (now - rtc->base_ns) % MODEL_NS_PER_SECOND >= MODEL_NS_PER_SECOND - UPDATE_NS)
			value |= RTC_A_UIP;
		return value;
	case RTC_C:
		flags_update(rtc, now);
		value = rtc->ram[RTC_C];
		rtc->ram[RTC_C] = 0;
		model_irq_set(&rtc->irq, false);
		timers_update(rtc, now);
		return value;
	case RTC_D:
		return RTC_D_VRT;
	}
	if (is_time_register(rtc->index) && !rtc->stopped)
		registers_from_time(rtc, now);
	return rtc->ram[rtc->index];
}

uint8_t rtc_read(struct rtc *rtc, unsigned offset)
{
	return offset == 0 ? 0xFF : data_read(rtc); /* the index cannot be read back */
}

void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value)
{
	if (offset == 0)
		rtc->index = value & (RTC_BYTES - 1); /* bit 7 masks NMI, of which this machine has none */
	else
		data_write(rtc, value);
}

void rtc_reset(struct rtc *rtc)
{
	rtc->ram[RTC_B] &= ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE);
	rtc->ram[RTC_C] = 0;
	rtc->index = 0;
	model_irq_set(&rtc->irq, false);
	timers_update(rtc, model_now(rtc->host));
}

void rtc_init(struct rtc *rtc, const struct model_host *host, struct model_irq irq, int64_t epoch_seconds)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->host = host;
	rtc->irq = irq;
	rtc->ram[RTC_A] = 0x26; /* 32.768 kHz, 1024 Hz periodic rate: what firmware leaves */
	rtc->ram[RTC_B] = RTC_B_24;
	rtc->base_seconds = epoch_seconds;
	rtc->base_ns = rtc->flags_ns = model_now(host);
}
