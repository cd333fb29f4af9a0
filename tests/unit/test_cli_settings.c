/*
 * What the command line knows of machines: addresses, the configuration, known_hosts, certificates.
 *
 * UNIT_SOURCES: tools/cli/address.c tools/cli/settings.c tools/cli/settings_choose.c tools/cli/files.c tools/cli/text.c
 * UNIT_SOURCES: tools/cli/memory.c tools/cli/toml_text.c tools/cli/known_hosts.c tools/cli/certificate.c
 * UNIT_SOURCES: drivers-vm/control/toml.c drivers-vm/control/toml_scalar.c drivers-vm/control/toml_string.c
 * UNIT_SOURCES: drivers-vm/control/toml_value.c
 * UNIT_FLAGS: -D_GNU_SOURCE -lcrypto
 */
#include "tools/cli/address.h"
#include "tools/cli/certificate.h"
#include "tools/cli/known_hosts.h"
#include "tools/cli/settings.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN "hilum_0123456789abcdefghijklmnopqrstuvwxyzABCDEF-"

static char said[512];

void cli_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

static void address_parse__what_people_write__is_the_same_place(void **state)
{
	static const struct {
		const char *text, *authority, *url;
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1:443", "https://10.0.0.1:443" },
		{ "HTTPS://Hilum.Local/", "hilum.local:443", "https://hilum.local:443" },
		{ "hilum.local:8443", "hilum.local:8443", "https://hilum.local:8443" },
		{ "https://[FD00::1]:8443/", "[fd00::1]:8443", "https://[fd00::1]:8443" },
		{ "[::1]", "[::1]:443", "https://[::1]:443" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address address;

		assert_true(address_parse(cases[i].text, &address));
		assert_string_equal(address.authority, cases[i].authority);
		assert_string_equal(address.url, cases[i].url);
	}
}

static void address_parse__what_is_no_place__is_refused(void **state)
{
	static const char *const bad[] = { "",
		                           "http://a",
		                           "https://",
		                           "a:0",
		                           "a:65536",
		                           "a:",
		                           "a:80x",
		                           "a/b",
		                           "a b",
		                           "user@a",
		                           "-o",
		                           "[::1",
		                           "[]",
		                           "a?b",
		                           "a#b",
		                           "a\nb",
		                           "::1",
		                           "a:80:80",
		                           "[a]b",
		                           "a:99999999999",
		                           "https://https://a",
		                           "[::1]80" };
	struct address address;
	char *longest = malloc(400);

	(void)state;
	assert_non_null(longest);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_parse(bad[i], &address));
	memset(longest, 'a', 399);
	longest[399] = '\0';
	assert_false(address_parse(longest, &address));
	free(longest);
}

static void settings_parse__what_login_writes__is_read_as_it_was(void **state)
{
	static const char text[] =
		"default = \"b\"\n[host.a]\nurl = \"https://1.2.3.4\"\n[host.\"b.c \\\"\"]\nurl = \"https://x:1\"\ntoken = \"" TOKEN
		"\"\nca = \"system\"\n";
	struct settings first, second;
	char *written;

	(void)state;
	assert_int_equal(settings_parse("f", text, strlen(text), &first), CLI_OK);
	written = settings_format(&first);
	assert_int_equal(settings_parse("f", written, strlen(written), &second), CLI_OK);
	assert_int_equal(second.count, 2);
	assert_string_equal(second.chosen, "b");
	assert_string_equal(second.hosts[0].url, "https://1.2.3.4");
	assert_null(second.hosts[0].token);
	assert_string_equal(second.hosts[1].name, "b.c \"");
	assert_string_equal(second.hosts[1].token, TOKEN);
	assert_string_equal(second.hosts[1].ca, "system");
	free(written);
	settings_free(&first);
	settings_free(&second);
}

static void settings_parse__errors__are_said_with_file_and_line(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "\nx = 1\n", "f:2: x: unknown key" },
		{ "[host.a]\nurl = 1\n", "f:2: url: must be a string" },
		{ "[host.a]\nurl = \"\"\n", "f:2: url: must be a string with something in it" },
		{ "[host.a]\nurl = \"a\\u0000b\"\n", "f:2: url: must be" },
		{ "[host.a]\ntoken = \"x\"\n", "f:1: a: has no url" },
		{ "[host.a]\nurl = \"http://a\"\n", "f:1: a: has no url" },
		{ "host = 1\n", "f:1: host: must be a table" },
		{ "[host]\na = 1\n", "f:2: a: must be a table" },
		{ "default = 1\n", "f:1: default: must be a string" },
		{ "default = \n", "f:1: column 11: " },
		{ "\"\\u001b\" = 1\n", "f:1: \\x1b: unknown key" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct settings settings;

		assert_int_equal(settings_parse("f", cases[i].text, strlen(cases[i].text), &settings), CLI_USAGE);
		assert_memory_equal(said, cases[i].expected, strlen(cases[i].expected));
	}
}

static void check_choice(const struct settings *settings, const char *option, const char *host, const char *token, const char *url,
                         const char *expected_token)
{
	struct cli_options options = { .host = option };
	struct target target;

	host == NULL ? unsetenv("HILUM_HOST") : setenv("HILUM_HOST", host, 1);
	token == NULL ? unsetenv("HILUM_TOKEN") : setenv("HILUM_TOKEN", token, 1);
	assert_int_equal(settings_choose(settings, &options, &target), url == NULL ? CLI_USAGE : CLI_OK);
	if (url != NULL) {
		assert_string_equal(target.address.url, url);
		assert_string_equal(target.token == NULL ? "" : target.token, expected_token);
	}
	settings_free_target(&target);
}

static void settings_choose__options_environment_and_file__in_this_order(void **state)
{
	static const char text[] = "default = \"lab\"\n[host.lab]\nurl = \"https://1.1.1.1\"\ntoken = \"" TOKEN
				   "\"\n[host.other]\nurl = \"https://2.2.2.2:8443\"\n";
	static const char second[] = "hilum_0000000000000000000000000000000000000000000";
	struct settings settings, none = { 0 };

	(void)state;
	assert_int_equal(settings_parse("f", text, strlen(text), &settings), CLI_OK);
	check_choice(&settings, NULL, NULL, NULL, "https://1.1.1.1:443", TOKEN);
	check_choice(&settings, NULL, "other", NULL, "https://2.2.2.2:8443", "");
	check_choice(&settings, "lab", "other", NULL, "https://1.1.1.1:443", TOKEN);
	check_choice(&settings, NULL, "https://1.1.1.1:443/", NULL, "https://1.1.1.1:443", TOKEN);
	check_choice(&settings, NULL, "1.1.1.1:444", NULL, "https://1.1.1.1:444", "");
	check_choice(&settings, "lab", NULL, second, "https://1.1.1.1:443", second);
	check_choice(&settings, "lab", "", "", "https://1.1.1.1:443", TOKEN);
	check_choice(&settings, "no such place", NULL, NULL, NULL, NULL);
	check_choice(&settings, "lab", NULL, "secret", NULL, NULL);
	check_choice(&none, NULL, NULL, NULL, NULL, NULL);
	settings_free(&settings);
}

static void settings_is_token__shapes__are_told_apart(void **state)
{
	(void)state;
	assert_true(settings_is_token(TOKEN));
	assert_false(settings_is_token(TOKEN "x"));
	assert_false(settings_is_token("hilum_"));
	assert_false(settings_is_token("hilum_0123456789abcdefghijklmnopqrstuvwxyzABCDEF\n"));
	assert_false(settings_is_token("Hilum_0123456789abcdefghijklmnopqrstuvwxyzABCDEF-"));
}

static void known_hosts_find__lines_of_others__do_not_count(void **state)
{
	static const char text[] = "# a:1 sha256//comment\na:10 sha256//ten\na:1 sha256//old\n\nba:1 sha256//ba\na:1 sha256//new\r\na:1";
	char pin[32] = "none";

	(void)state;
	assert_true(known_hosts_find(text, "a:1", pin, sizeof(pin)));
	assert_string_equal(pin, "sha256//new");
	assert_false(known_hosts_find(text, "a:100", pin, sizeof(pin)));
	assert_false(known_hosts_find("", "a:1", pin, sizeof(pin)));
	assert_false(known_hosts_find("a:1 sha256//too-long-for-this-place-here", "a:1", pin, sizeof(pin)));
	assert_string_equal(pin, "sha256//new");
}

static void known_hosts_remove__all_lines_of_one__leaves_the_rest(void **state)
{
	bool found;
	char *kept = known_hosts_remove("a:1 x\n# note\nb:1 y\na:1 z", "a:1", &found);

	(void)state;
	assert_true(found);
	assert_string_equal(kept, "# note\nb:1 y\n");
	free(kept);
	kept = known_hosts_remove("b:1 y", "a:1", &found);
	assert_false(found);
	assert_string_equal(kept, "b:1 y");
	free(kept);
}

static void certificate_has_fingerprint__ways_to_write_it__are_the_same(void **state)
{
	struct certificate certificate = { .fingerprint = "sha256:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
		                                          "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF" };

	(void)state;
	assert_true(certificate_has_fingerprint(&certificate, certificate.fingerprint));
	assert_true(certificate_has_fingerprint(&certificate, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"));
	assert_true(certificate_has_fingerprint(&certificate, "SHA256:00112233445566778899AABBCCDDEEFF 00112233445566778899AABBCCDDEEFF"));
	assert_false(certificate_has_fingerprint(&certificate, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef"));
	assert_false(certificate_has_fingerprint(&certificate, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefff"));
	assert_false(certificate_has_fingerprint(&certificate, "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"));
	assert_false(certificate_has_fingerprint(&certificate, ""));
}

static void certificate_read__what_is_none__is_refused(void **state)
{
	struct certificate certificate;

	(void)state;
	assert_false(certificate_read("", 0, &certificate));
	assert_false(certificate_read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 60, &certificate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_parse__what_people_write__is_the_same_place),
		cmocka_unit_test(address_parse__what_is_no_place__is_refused),
		cmocka_unit_test(settings_parse__what_login_writes__is_read_as_it_was),
		cmocka_unit_test(settings_parse__errors__are_said_with_file_and_line),
		cmocka_unit_test(settings_choose__options_environment_and_file__in_this_order),
		cmocka_unit_test(settings_is_token__shapes__are_told_apart),
		cmocka_unit_test(known_hosts_find__lines_of_others__do_not_count),
		cmocka_unit_test(known_hosts_remove__all_lines_of_one__leaves_the_rest),
		cmocka_unit_test(certificate_has_fingerprint__ways_to_write_it__are_the_same),
		cmocka_unit_test(certificate_read__what_is_none__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
