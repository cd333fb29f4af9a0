/* See log.h. */
#include "arch/x86_64/log.h"
#include "arch/x86_64/log_sink.h"
#include "arch/x86_64/format.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"

#define LINE_MAX    256u
#define SERIAL_PORT 0x3F8u

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

static void put(char c)
{
	ring.data[ring.write_seq % LOG_RING_DATA_BYTES] = c;
	/* Pairs with the reader's acquire load (log_ring.h). */
	__atomic_store_n(&ring.write_seq, ring.write_seq + 1, __ATOMIC_RELEASE);
	log_screen_put(c);
	if (!serial_port || serial_released)
		return;
	if (c == '\n')
		log_serial_put(serial_port, '\r');
	log_serial_put(serial_port, c);
}

static void log_line(const char *severity, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));
static void log_line(const char *severity, const char *fmt, va_list args)
{
	char line[LINE_MAX];
	uint64_t flags = cpu_read_flags();
	size_t n = format_text(line, sizeof(line) - 1, "hilum: %s", severity);

	n += format_text_va(line + n, sizeof(line) - 1 - n, fmt, args);
	line[n++] = '\n';
	cpu_irq_disable();
	if (!panicking)
		spin_lock(&log_lock);
	for (size_t i = 0; i < n; i++)
		put(line[i]);
	if (!panicking)
		spin_unlock(&log_lock);
	if (flags & RFLAGS_IF)
		cpu_irq_enable();
}

#define LOG_FUNCTION(name, severity)                                                                         \
	void name(const char *fmt, ...)                                                                      \
	{                                                                                                    \
		va_list args;                                                                                \
                                                                                                             \
		va_start(args, fmt);                                                                         \
		log_line(severity, fmt, args);                                                               \
		va_end(args);                                                                                \
	}

LOG_FUNCTION(log_info, "")
LOG_FUNCTION(log_warn, "warning: ")

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

void log_init_serial(const char *option)
{
	uint32_t port = SERIAL_PORT;

	if (option && !strncmp(option, "none", 4))
		return;
	if (option && *option) {
		option += strncmp(option, "0x", 2) ? 0 : 2;
		for (port = 0; is_hex(*option) && port <= 0xFFFF; option++)
			port = port * 16 +
			       (uint32_t)(*option <= '9' ? *option - '0' : (*option | 0x20) - 'a' + 10);
	}
	if (port && port <= 0xFFF8 && log_serial_open((uint16_t)port))
		serial_port = (uint16_t)port;
}

void log_serial_release(void)
{
	uint64_t flags = cpu_read_flags();

	cpu_irq_disable();
	spin_lock(&log_lock);
	serial_released = true;
	spin_unlock(&log_lock);
	if (flags & RFLAGS_IF)
		cpu_irq_enable();
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
	if (!serial_port || !serial_released)
		return;
	serial_released = false;
	if (!log_serial_open(serial_port))
		serial_port = 0;
}
