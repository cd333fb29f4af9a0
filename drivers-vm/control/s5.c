/* The pattern scan described in s5.h. */
#include "drivers-vm/control/s5.h"

#include <string.h>

#define OP_ZERO    0x00u
#define OP_ONE     0x01u
#define OP_NAME    0x08u
#define OP_BYTE    0x0Au
#define OP_WORD    0x0Bu
#define OP_DWORD   0x0Cu
#define OP_PACKAGE 0x12u
#define ROOT_CHAR  0x5Cu

#define SLP_TYP_MAX 7u /* the field has three bits */

struct cursor {
	const uint8_t *at;
	size_t left;
};

static bool take(struct cursor *c, uint8_t *value)
{
	if (c->left == 0)
		return false;
	*value = *c->at++;
	c->left--;
	return true;
}

/* 20.2.4: the top two bits of the first byte count the bytes that follow. The scan needs no length, only what
 * comes next. */
static bool skip_package_length(struct cursor *c)
{
	uint8_t lead;
	uint8_t ignored;

	if (!take(c, &lead))
		return false;
	for (unsigned i = lead >> 6; i > 0; i--)
		if (!take(c, &ignored))
			return false;
	return true;
}

static bool take_integer(struct cursor *c, uint32_t *value)
{
	unsigned width;
	uint8_t op;
	uint8_t byte;

	*value = 0;
	if (!take(c, &op))
		return false;
	if (op == OP_ZERO || op == OP_ONE) {
		*value = op;
		return true;
	}
	width = op == OP_BYTE ? 1 : op == OP_WORD ? 2 : op == OP_DWORD ? 4 : 0;
	for (unsigned i = 0; i < width; i++) {
		if (!take(c, &byte))
			return false;
		*value |= (uint32_t)byte << (8 * i);
	}
	return width != 0;
}

/* What follows the name: Package, its length, its element count, two small constants. */
static bool take_values(struct cursor c, struct s5 *out)
{
	uint8_t op;
	uint8_t elements;
	uint32_t a;
	uint32_t b;

	if (!take(&c, &op) || op != OP_PACKAGE || !skip_package_length(&c) || !take(&c, &elements) || elements < 2)
		return false;
	if (!take_integer(&c, &a) || !take_integer(&c, &b) || a > SLP_TYP_MAX || b > SLP_TYP_MAX)
		return false;
	out->slp_typ_a = (uint8_t)a;
	out->slp_typ_b = (uint8_t)b;
	return true;
}

/* Whether the bytes before the name make it the target of a Name statement. */
static bool is_name_statement(const uint8_t *aml, size_t name)
{
	return (name >= 1 && aml[name - 1] == OP_NAME) || (name >= 2 && aml[name - 1] == ROOT_CHAR && aml[name - 2] == OP_NAME);
}

bool s5_find(const uint8_t *aml, size_t bytes, struct s5 *out)
{
	for (size_t at = 0; bytes >= 4 && at <= bytes - 4; at++) {
		struct cursor after = { aml + at + 4, bytes - at - 4 };

		if (memcmp(aml + at, "_S5_", 4) == 0 && is_name_statement(aml, at) && take_values(after, out))
			return true;
	}
	return false;
}
