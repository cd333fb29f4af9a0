/* Date and time registers of the MC146818, in BCD or binary, 12 or 24 hours, as its status register B says. */
#include "drivers-vm/driver/cmos.h"
#include <stdbool.h>

#define STATUS_A_UPDATING 0x80u
#define STATUS_B_24_HOURS 0x02u
#define STATUS_B_BINARY   0x04u
#define HOUR_PM           0x80u

static unsigned from_bcd(unsigned value, bool binary)
{
	return binary ? value : (value & 15) + (value >> 4) * 10;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year;
	unsigned m = month <= 2 ? month + 9 : month - 3; /* March is 0 */

	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

uint64_t cmos_read_seconds(uint8_t (*read)(uint8_t reg))
{
	unsigned status = read(0x0B), tries = 100000;
	bool binary = status & STATUS_B_BINARY;

	while ((read(0x0A) & STATUS_A_UPDATING) && --tries != 0)
		;
	unsigned second = from_bcd(read(0), binary), minute = from_bcd(read(2), binary);
	unsigned raw_hour = read(4), hour = from_bcd(raw_hour & ~HOUR_PM, binary);
	unsigned day = from_bcd(read(7), binary), month = from_bcd(read(8), binary), year = from_bcd(read(9), binary);
	if (!(status & STATUS_B_24_HOURS))
		hour = hour % 12 + (raw_hour & HOUR_PM ? 12 : 0);
	if (second > 59 || minute > 59 || hour > 23 || day - 1 > 30 || month - 1 > 11 || year > 99)
		return 0;
	return days_of(2000 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}
