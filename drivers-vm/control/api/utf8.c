/* UTF-8: shortest forms only, no surrogates, nothing beyond U+10FFFF. */
#include "drivers-vm/control/api/utf8.h"

#include <stdint.h>

unsigned utf8_length(const char *bytes, size_t count)
{
	static const struct {
		uint8_t first, last, length, low, high; /* first byte's range; the second one's */
	} forms[] = {
		{ 0x00, 0x7F, 1, 0, 0 },       { 0xC2, 0xDF, 2, 0x80, 0xBF }, { 0xE0, 0xE0, 3, 0xA0, 0xBF },
		{ 0xE1, 0xEC, 3, 0x80, 0xBF }, { 0xED, 0xED, 3, 0x80, 0x9F }, { 0xEE, 0xEF, 3, 0x80, 0xBF },
		{ 0xF0, 0xF0, 4, 0x90, 0xBF }, { 0xF1, 0xF3, 4, 0x80, 0xBF }, { 0xF4, 0xF4, 4, 0x80, 0x8F },
	};
	uint8_t at[4] = { 0 };

	for (size_t i = 0; i < count && i < sizeof(at); i++)
		at[i] = (uint8_t)bytes[i];
	for (unsigned i = 0; count != 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (at[0] < forms[i].first || at[0] > forms[i].last)
			continue;
		if (forms[i].length > count || (forms[i].length > 1 && (at[1] < forms[i].low || at[1] > forms[i].high)))
			return 0;
		for (unsigned k = 2; k < forms[i].length; k++)
			if (at[k] < 0x80 || at[k] > 0xBF)
				return 0;
		return forms[i].length;
	}
	return 0;
}
