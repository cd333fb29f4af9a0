/* Text forms of network addresses. */
#include "drivers-vm/control/config_private.h"

#include <string.h>

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 1 to `most` hexadecimal digits at *at; -1: none. */
static int32_t take_hex(const char **at, unsigned most)
{
	int32_t value = 0;
	unsigned digits = 0;

	for (; digits < most && digit_of(**at) >= 0; digits++, (*at)++)
		value = value * 16 + digit_of(**at);
	return digits != 0 ? value : -1;
}

bool config_parse_mac(const char *text, uint8_t mac[6])
{
	uint8_t result[6];

	for (unsigned i = 0; i < 6; i++) {
		const char *start = text;
		int32_t value = take_hex(&text, 2);
		if (text - start != 2 || *text != (i < 5 ? ':' : '\0'))
			return false;
		text++;
		result[i] = (uint8_t)value;
	}
	memcpy(mac, result, sizeof(result));
	return true;
}

bool config_parse_ip4(const char *text, uint8_t ip[4])
{
	uint8_t result[4];

	for (unsigned i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;
		for (; digits < 3 && *text >= '0' && *text <= '9'; digits++, text++)
			value = value * 10 + (unsigned)(*text - '0');
		/* Leading zeroes mean octal to some: refused. */
		if (digits == 0 || value > 255 || (digits > 1 && text[-(int)digits] == '0') || *text++ != (i < 3 ? '.' : '\0'))
			return false;
		result[i] = (uint8_t)value;
	}
	memcpy(ip, result, sizeof(result));
	return true;
}

/* RFC 4291, 2.2, forms 1 and 2: groups, of which one "::" stands for as many zeroes as are missing. */
bool config_parse_ip6(const char *text, uint8_t ip[16])
{
	uint16_t group[8];
	unsigned groups = 0, gap = 9;

	if (text[0] == ':' && text[1] != ':')
		return false;
	while (*text != '\0') {
		if (text[0] == ':' && text[1] == ':') {
			if (gap != 9)
				return false;
			gap = groups;
			text += 2;
			continue;
		}
		if (groups != 0 && groups != gap && *text++ != ':')
			return false;
		int32_t value = take_hex(&text, 4);
		if (value < 0 || groups == 8)
			return false;
		group[groups++] = (uint16_t)value;
	}
	if (gap == 9 ? groups != 8 : groups > 7)
		return false;
	memset(ip, 0, 16);
	for (unsigned i = 0; i < groups; i++) {
		unsigned to = i < gap ? i : 8 - groups + i;
		ip[2 * to] = (uint8_t)(group[i] >> 8);
		ip[2 * to + 1] = (uint8_t)group[i];
	}
	return true;
}
