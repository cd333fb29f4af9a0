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

/* Protects the ring's writer side, both sinks and log_serial_port. */
static struct spinlock log_lock = SPINLOCK_INIT(LOCK_RANK_LOG);
struct log_ring log_ring __attribute__((aligned(4096))) = {
	.magic = LOG_RING_MAGIC,
	.version = LOG_RING_VERSION,
	.size = LOG_RING_DATA_BYTES,
};
uint16_t log_serial_port; /* 0: none */
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
	log_ring.data[log_ring.write_seq % LOG_RING_DATA_BYTES] = c;
	/* Pairs with the reader's acquire load (log_ring.h). */
	__atomic_store_n(&log_ring.write_seq, log_ring.write_seq + 1, __ATOMIC_RELEASE);
	if (box)
		box_put(c);
	log_screen_put(c);
	if (!log_serial_port || serial_released)
		return;
	if (c == '\n')
		log_serial_put(log_serial_port, '\r');
	log_serial_put(log_serial_port, c);
}

static void put_text(const char *s)
{
	while (*s)
		put(*s++);
}

void log_info(const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	format_text_va(text, sizeof(text), fmt, args);
	va_end(args);
	if (!panicking)
		spin_lock(&log_lock);
	put_text("hilum: ");
	put_text(text);
	put('\n');
	if (!panicking)
		spin_unlock(&log_lock);
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
		log_serial_port = (uint16_t)port;
}

void log_serial_release(void)
{
	spin_lock(&log_lock);
	serial_released = true;
	spin_unlock(&log_lock);
}

void log_enter_panic(void)
{
	panicking = true;
	if (serial_released && !log_serial_open(log_serial_port))
		log_serial_port = 0;
	serial_released = false;
}
