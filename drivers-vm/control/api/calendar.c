/* The Gregorian calendar: days are counted from 1 March of year 0, so that a leap day is the last of its year. */
#include "drivers-vm/control/api/calendar.h"

#include <stdio.h>

#define DAY_SECONDS    86400u
#define DAYS_TO_1970   719468u /* from 0000-03-01 */
#define DAYS_400_YEARS 146097u
#define LAST_SECOND    253402300799u /* 9999-12-31T23:59:59 */

void calendar_format(uint64_t seconds, char text[CALENDAR_TEXT_BYTES])
{
	if (seconds > LAST_SECOND)
		seconds = LAST_SECOND;
	uint32_t second = (uint32_t)(seconds % DAY_SECONDS);
	uint32_t day = (uint32_t)(seconds / DAY_SECONDS) + DAYS_TO_1970;
	uint32_t cycle = day / DAYS_400_YEARS;

	day %= DAYS_400_YEARS;
	/* Whole years before this day: one leap day in 4 years, none in 100, one in 400. */
	uint32_t years = (day - day / 1460 + day / 36524 - day / 146096) / 365;

	day -= 365 * years + years / 4 - years / 100;
	/* Months from March on have 31, 30, 31, 30, 31 days, twice, and then January and February. */
	uint32_t month = (5 * day + 2) / 153;

	day -= (153 * month + 2) / 5;
	years += 400 * cycle + (month >= 10);
	month = month < 10 ? month + 3 : month - 9;
	snprintf(text, CALENDAR_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ", years % 10000, month, day + 1, second / 3600,
	         second / 60 % 60, second % 60);
}
