/* See store_boots.h. The value is a decimal number in text, as everything in the store that people may look at. */
#include "drivers-vm/control/store/store_boots.h"

#include "drivers-vm/control/store/store.h"
#include "drivers-vm/runtime/service.h"

#include <stdio.h>

#define KEY    "setting/boots"
#define DIGITS 18u

static uint64_t read_number(const char *text, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9' || i == DIGITS)
			return 0;
		number = 10 * number + (uint64_t)(text[i] - '0');
	}
	return number;
}

void store_count_boot(void)
{
	size_t bytes;
	const char *text = store_get(KEY, &bytes);
	uint64_t boots = text != NULL ? read_number(text, bytes) + 1 : 1;
	char now[DIGITS + 2];
	int length = snprintf(now, sizeof(now), "%lu", (unsigned long)boots);

	store_put(KEY, now, (size_t)length, 0);
	service_log("boot %s of this state", now);
}
