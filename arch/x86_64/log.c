/* See log.h. */
#include "arch/x86_64/log.h"
#include "arch/x86_64/log_sink.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/format.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"

#define TEXT_MAX    240u /* of a line; the rest is cut */
#define SERIAL_PORT 0x3F8u
#define BOX_SEED    0x584F424D554C4948ull /* "HILUMBOX" */

/* Protects the ring's writer side, both sinks and serial_port. */
static struct spinlock log_lock = SPINLOCK_INIT(LOCK_RANK_LOG);
static struct log_ring ring __attribute__((aligned(4096))) = {
	.magic = LOG_RING_MAGIC,
	.version = LOG_RING_VERSION,
	.size = LOG_RING_DATA_BYTES,
};
static uint16_t serial_port; /* 0: none */
static bool serial_released;
static bool panicking;
struct hilum_last_run log_last_run;
static struct hilum_last_run *box;

static uint64_t box_check(const struct hilum_last_run *b)
{
	return BOX_SEED ^ b->written ^ ((uint64_t)b->sum << 32 | b->end);
}

/* All of the box is flushed from the caches, which a reset forgets. */
void log_set_end(enum hilum_end end)
{
	if (!box)
		return;
	box->end = end;
	box->check = box_check(box);
	cpu_flush_line(box);
}

void log_open_box(struct hilum_last_run *at)
{
	uint32_t sum = 0;

	memcpy(&log_last_run, at, sizeof(log_last_run));
	for (uint32_t i = 0; i < HILUM_LAST_RUN_BYTES; i++)
		sum += (uint8_t)log_last_run.text[i];
	if (sum != log_last_run.sum || log_last_run.check != box_check(&log_last_run))
		memset(&log_last_run, 0, sizeof(log_last_run));
	memset(at, 0, sizeof(*at));
	box = at;
	log_set_end(HILUM_END_NONE);
}

static void box_put(char c)
{
	char *place = &box->text[box->written++ % HILUM_LAST_RUN_BYTES];

	box->sum += (uint32_t)(uint8_t)c - (uint8_t)*place;
	*place = c;
	cpu_flush_line(place);
	log_set_end(box->end);
}

static void put(char c)
{
	ring.data[ring.write_seq % LOG_RING_DATA_BYTES] = c;
	/* Pairs with the reader's acquire load (log_ring.h). */
	__atomic_store_n(&ring.write_seq, ring.write_seq + 1, __ATOMIC_RELEASE);
	if (box)
		box_put(c);
	log_screen_put(c);
	if (!serial_port || serial_released)
		return;
	if (c == '\n')
		log_serial_put(serial_port, '\r');
	log_serial_put(serial_port, c);
}

static void put_text(const char *s)
{
	while (*s)
		put(*s++);
}

static void log_line(const char *severity, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void log_line(const char *severity, const char *fmt, va_list args)
{
	char text[TEXT_MAX];

	format_text_va(text, sizeof(text), fmt, args);
	if (!panicking)
		spin_lock(&log_lock);
	put_text("hilum: ");
	put_text(severity);
	put_text(text);
	put('\n');
	if (!panicking)
		spin_unlock(&log_lock);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_line("", fmt, args);
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_line("warning: ", fmt, args);
	va_end(args);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

void log_init_serial(const char *option)
{
	uint32_t port = SERIAL_PORT;

	if (option && *option) { /* "none" is 0 */
		option += strncmp(option, "0x", 2) ? 0 : 2;
		for (port = 0; is_hex(*option) && port <= 0xFFFF; option++)
			port = port * 16 + (uint32_t)(*option <= '9' ? *option - '0' : (*option | 0x20) - 'a' + 10);
	}
	if (port && port <= 0xFFF8 && log_serial_open((uint16_t)port))
		serial_port = (uint16_t)port;
}

void log_serial_release(void)
{
	spin_lock(&log_lock);
	serial_released = true;
	spin_unlock(&log_lock);
}

uint16_t log_serial_port(void)
{
	return serial_port;
}

const struct log_ring *log_ring_get(void)
{
	return &ring;
}

void log_enter_panic(void)
{
	panicking = true;
	if (serial_released && !log_serial_open(serial_port))
		serial_port = 0;
	serial_released = false;
}
