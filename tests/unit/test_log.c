/*
 * The kernel's log: ring, serial port (a fake UART), its release and reclaiming, and the screen's text.
 * UNIT_SOURCES: arch/x86_64/log.c arch/x86_64/log_serial.c arch/x86_64/log_screen.c
 * UNIT_SOURCES: arch/x86_64/log_font.c arch/x86_64/format.c
 * UNIT_FLAGS: -Itests/unit -iquote tests/unit/fake_boot
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"

struct cpu_arch fake_cpu;
uint64_t fake_cr3;

static uint16_t uart_port; /* 0: none there */
static uint32_t uart_divisor;
static uint8_t uart_lcr, uart_mcr;
static int uart_echo;
static char serial_text[8192];
static size_t serial_bytes;

uint64_t rdtsc(void)
{
	return 0;
}

uint32_t inl(uint16_t port)
{
	(void)port;
	return UINT32_MAX;
}

uint8_t inb(uint16_t port)
{
	if (!uart_port || (port & ~7u) != uart_port)
		return 0xFF;
	if ((port & 7) == 5)
		return (uint8_t)(0x20 | (uart_echo >= 0));
	if ((port & 7) == 0 && uart_echo >= 0) {
		int c = uart_echo;

		uart_echo = -1;
		return (uint8_t)c;
	}
	return 0;
}

void outb(uint16_t port, uint8_t v)
{
	if (!uart_port || (port & ~7u) != uart_port)
		return;
	switch (port & 7) {
	case 0:
		if (uart_lcr & 0x80)
			uart_divisor = (uart_divisor & 0xFF00) | v;
		else if (uart_mcr & 0x10)
			uart_echo = v;
		else if (serial_bytes < sizeof(serial_text) - 1)
			serial_text[serial_bytes++] = (char)v;
		break;
	case 1:
		if (uart_lcr & 0x80)
			uart_divisor = (uart_divisor & 0xFF) | (uint32_t)v << 8;
		break;
	case 3:
		uart_lcr = v;
		break;
	case 4:
		uart_mcr = v;
		break;
	default:
		break;
	}
}

void panic(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

static int clear_text(void **state)
{
	(void)state;
	memset(serial_text, 0, sizeof(serial_text));
	serial_bytes = 0;
	return 0;
}

static const char *ring_tail(size_t bytes)
{
	static char text[512];
	const struct log_ring *ring = &log_ring;

	for (size_t i = 0; i < bytes; i++)
		text[i] = ring->data[(ring->write_seq - bytes + i) % ring->size];
	text[bytes] = 0;
	return text;
}

static void log_init_serial__no_uart__no_port(void **state)
{
	(void)state;
	uart_port = 0;
	log_init_serial(NULL);
	assert_int_equal(log_serial_port, 0);
	log_info("to the ring alone");
	assert_string_equal(ring_tail(25), "hilum: to the ring alone\n");
}

static void log_init_serial__option__port(void **state)
{
	(void)state;
	uart_port = 0x2F8;
	uart_echo = -1;
	log_init_serial("none");
	assert_int_equal(log_serial_port, 0);
	log_init_serial("0x2F8 debug");
	assert_int_equal(log_serial_port, 0x2F8);
	assert_int_equal(uart_divisor, 1);
	assert_int_equal(uart_mcr & 0x10, 0);
}

static void log_info__line__prefix_and_line_end_on_serial(void **state)
{
	(void)state;
	log_info("%u cores", 4);
	log_warn("odd");
	assert_string_equal(serial_text, "hilum: 4 cores\r\nhilum: warning: odd\r\n");
}

static void log_info__too_long__cut_but_ended(void **state)
{
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[599] = 0;
	log_info("%s", text);
	assert_true(serial_bytes > 200 && serial_bytes <= 258);
	assert_string_equal(serial_text + serial_bytes - 3, "x\r\n");
}

static void log_info__line__releases_the_lock(void **state)
{
	(void)state;
	log_info("x");
	assert_int_equal(fake_cpu.lock_rank, 0);
}

static void log_info__more_than_the_ring_holds__oldest_overwritten(void **state)
{
	const struct log_ring *ring = &log_ring;
	uint64_t before = ring->write_seq;

	(void)state;
	for (uint32_t i = 0; i < 4000; i++)
		log_info("line number %06u", i);
	assert_int_equal(ring->write_seq, before + 4000 * 26);
	assert_string_equal(ring_tail(52), "hilum: line number 003998\nhilum: line number 003999\n");
	assert_int_equal(ring->magic, LOG_RING_MAGIC);
	assert_int_equal(ring->size, LOG_RING_DATA_BYTES);
}

static void log_init_screen__text_screen__goes_round_behind_an_empty_line(void **state)
{
	static uint16_t cells[4][20];
	struct boot_screen mode = { BOOT_SCREEN_TEXT, 0xB8000, 40, 20, 4, 16 };

	(void)state;
	memset(cells, 0xFF, sizeof(cells));
	log_init_screen(&mode, cells);
	for (int row = 0; row < 4; row++)
		for (int column = 0; column < 20; column++)
			assert_int_equal(cells[row][column], 0x0700 | ' ');
	for (int i = 0; i < 5; i++)
		log_info("row %u", i);
	assert_int_equal(cells[0][11], 0x0700 | '4');
	assert_int_equal(cells[1][0], 0x0700 | ' ');
	assert_int_equal(cells[2][0], 0x0700 | ' ');
	assert_int_equal(cells[3][11], 0x0700 | '3');
	fake_cr3 = 1;
	log_info("unseen: the screen is not in these tables");
	assert_int_equal(cells[0][11], 0x0700 | '4');
	log_init_screen(&mode, cells);
	assert_int_equal(cells[0][11], 0x0700 | '4');
	log_info("a line that wraps at twenty");
	assert_int_equal(cells[1][0], 0x0700 | 'h');
	assert_int_equal(cells[2][0], 0x0700 | 'r'); /* "hilum: a line that w|raps ..." */
}

static void log_init_screen__framebuffer__pixels_inside_only(void **state)
{
	enum { WIDTH = 40, HEIGHT = 128, PITCH = WIDTH * 3 + 5 };
	uint8_t *fb = calloc(HEIGHT, PITCH);
	struct boot_screen mode = { BOOT_SCREEN_RGB, 0, PITCH, WIDTH, HEIGHT, 24 };
	unsigned lit = 0;

	(void)state;
	assert_non_null(fb);
	log_init_screen(&(struct boot_screen){ BOOT_SCREEN_NONE, 0, 0, 0, 0, 0 }, NULL);
	log_init_screen(&mode, fb);
	log_info("##### in eight rows of five");
	for (int y = 0; y < HEIGHT; y++)
		for (int x = 0; x < PITCH; x++) {
			lit += fb[y * PITCH + x] == 0xFF;
			assert_true(x < WIDTH * 3 || !fb[y * PITCH + x]);
		}
	assert_true(lit > 0);
	log_init_screen(&(struct boot_screen){ BOOT_SCREEN_NONE, 0, 0, 0, 0, 0 }, NULL);
	log_info("no screen any more");
	memset(fb, 0, HEIGHT * PITCH);
	mode.height = 15; /* not a row */
	log_init_screen(&mode, fb);
	log_info("too low");
	for (int i = 0; i < HEIGHT * PITCH; i++)
		assert_int_equal(fb[i], 0);
	free(fb);
}

static void log_serial_release__then_panic__silent_until_reclaimed(void **state)
{
	(void)state;
	log_serial_release();
	log_info("unseen");
	assert_string_equal(serial_text, "");
	assert_string_equal(ring_tail(14), "hilum: unseen\n");
	uart_divisor = 12;
	fake_cpu.lock_rank = 200; /* as in the middle of anything: a panic takes no lock */
	log_enter_panic();
	log_info("panic: x");
	assert_int_equal(uart_divisor, 1);
	assert_string_equal(serial_text, "hilum: panic: x\r\n");
}

static struct hilum_last_run memory;

static void log_open_box__what_a_run_left__is_taken_out_and_the_box_begins_anew(void **state)
{
	(void)state;
	memset(&memory, 0xA5, sizeof(memory)); /* as after power-on */
	log_open_box(&memory);
	assert_int_equal(log_last_run.end, HILUM_END_UNKNOWN);
	assert_int_equal(log_last_run.written, 0);
	for (int i = 0; i < 1000; i++)
		log_info("line %u", i);
	log_set_end(HILUM_END_PANIC);
	uint64_t written = memory.written;
	log_open_box(&memory);
	assert_int_equal(log_last_run.end, HILUM_END_PANIC);
	assert_int_equal(log_last_run.written, written);
	char tail[17] = "";
	for (int i = 0; i < 16; i++)
		tail[i] = log_last_run.text[(written - 16 + (uint64_t)i) % HILUM_LAST_RUN_BYTES];
	assert_string_equal(tail, "hilum: line 999\n");
	assert_int_equal(memory.written, 0);
	log_open_box(&memory); /* a run that ended without a word */
	assert_int_equal(log_last_run.end, HILUM_END_NONE);
}

static void log_open_box__one_bit_differs__nothing_is_believed(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < sizeof(memory); byte += byte < 24 ? 1 : 509) {
		log_open_box(&memory);
		log_info("something");
		((uint8_t *)&memory)[byte] ^= 1;
		log_open_box(&memory);
		assert_int_equal(log_last_run.end, HILUM_END_UNKNOWN);
		assert_int_equal(log_last_run.written, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(log_init_serial__no_uart__no_port, clear_text),
		cmocka_unit_test_setup(log_init_serial__option__port, clear_text),
		cmocka_unit_test_setup(log_info__line__prefix_and_line_end_on_serial, clear_text),
		cmocka_unit_test_setup(log_info__too_long__cut_but_ended, clear_text),
		cmocka_unit_test_setup(log_info__line__releases_the_lock, clear_text),
		cmocka_unit_test_setup(log_info__more_than_the_ring_holds__oldest_overwritten, clear_text),
		cmocka_unit_test_setup(log_init_screen__text_screen__goes_round_behind_an_empty_line, clear_text),
		cmocka_unit_test_setup(log_init_screen__framebuffer__pixels_inside_only, clear_text),
		cmocka_unit_test_setup(log_serial_release__then_panic__silent_until_reclaimed, clear_text),
		cmocka_unit_test_setup(log_open_box__what_a_run_left__is_taken_out_and_the_box_begins_anew, clear_text),
		cmocka_unit_test_setup(log_open_box__one_bit_differs__nothing_is_believed, clear_text),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
