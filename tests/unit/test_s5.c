/*
 * The search for \_S5_ in a host's DSDT.
 * UNIT_SOURCES: drivers-vm/control/s5.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/s5.h"

#include <stdlib.h>
#include <string.h>

/* Searches a heap copy, so that reading past the end is caught. */
static bool find(const char *aml, size_t bytes, struct s5 *out)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);

	memcpy(copy, aml, bytes);
	bool found = s5_find(copy, bytes, out);

	free(copy);
	return found;
}

#define FIND(aml, out) find(aml, sizeof(aml) - 1, out)

static void s5_find__usual_encodings__gives_both_values(void **state)
{
	struct s5 s5;

	(void)state;
	assert_true(FIND("junk\x08_S5_\x12\x06\x04\x0A\x05\x0A\x07\x00\x00", &s5)); /* QEMU and many others */
	assert_int_equal(s5.slp_typ_a, 5);
	assert_int_equal(s5.slp_typ_b, 7);
	assert_true(FIND("\x08\x5C_S5_\x12\x06\x04\x00\x01\x00\x00", &s5)); /* with the root prefix */
	assert_int_equal(s5.slp_typ_a, 0);
	assert_int_equal(s5.slp_typ_b, 1);
	assert_true(FIND("\x08_S5_\x12\x4A\x00\x02\x0B\x05\x00\x0C\x06\x00\x00\x00", &s5)); /* words, long length */
	assert_int_equal(s5.slp_typ_a, 5);
	assert_int_equal(s5.slp_typ_b, 6);
}

static void s5_find__references_before_the_definition__are_passed_over(void **state)
{
	struct s5 s5;

	(void)state;
	assert_true(FIND("_S5_\x12\x06\x04\x03\x03\x08_S5_\x14\x08_S5_\x12\x06\x02\x0A\x05\x0A\x05", &s5));
	assert_int_equal(s5.slp_typ_a, 5);
}

static void s5_find__no_usable_package__finds_nothing(void **state)
{
	struct s5 s5 = { 9, 9 };

	(void)state;
	assert_false(FIND("", &s5));
	assert_false(FIND("_S5", &s5));
	assert_false(FIND("\x08_S4_\x12\x06\x04\x0A\x05\x0A\x05", &s5));
	assert_false(FIND("\x08_S5_\x12\x06\x01\x0A\x05\x0A\x05", &s5)); /* one element */
	assert_false(FIND("\x08_S5_\x12\x06\x04\x0A\x08\x0A\x05", &s5)); /* more than three bits */
	assert_false(FIND("\x08_S5_\x12\x06\x04\x0A\x05\x0D\x05", &s5)); /* a string */
	assert_false(FIND("\x14_S5_\x12\x06\x04\x0A\x05\x0A\x05", &s5)); /* a method */
	assert_int_equal(s5.slp_typ_a, 9);
}

static void s5_find__every_truncation__stays_in_bounds(void **state)
{
	static const char aml[] = "\x08_S5_\x12\xC6\x00\x00\x00\x04\x0C\x05\x00\x00\x00\x0B\x05\x00";
	struct s5 s5;

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(aml) - 1; bytes++)
		assert_false(find(aml, bytes, &s5));
	assert_true(FIND(aml, &s5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s5_find__usual_encodings__gives_both_values),
		cmocka_unit_test(s5_find__references_before_the_definition__are_passed_over),
		cmocka_unit_test(s5_find__no_usable_package__finds_nothing),
		cmocka_unit_test(s5_find__every_truncation__stays_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
