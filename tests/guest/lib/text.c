/*
 * COM1 output and a small printf. Must never wait for ever: a machine without the UART, or with a stuck one,
 * loses text only. Xen's PVH guests have none, and its debug port instead.
 */
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"

#define COM1       0x3F8
#define COM1_LSR   (COM1 + 5)
#define LSR_THRE   0x20
#define XEN_PORT   0xE9
#define THRE_POLLS 1000000u

static volatile bool text_lock;
static bool text_on_xen;

void text_init(void)
{
	outb(COM1 + 1, 0x00);
	outb(COM1 + 3, 0x80);
	outb(COM1 + 0, 0x01);
	outb(COM1 + 1, 0x00);
	outb(COM1 + 3, 0x03);
	outb(COM1 + 2, 0x07);
	outb(COM1 + 4, 0x03);
	text_on_xen = guest_is_xen();
}

static void text_put(char c)
{
	for (unsigned i = 0; i < THRE_POLLS && !(inb(COM1_LSR) & LSR_THRE); i++)
		cpu_relax();
	outb(COM1, (uint8_t)c);
	if (text_on_xen)
		outb(XEN_PORT, (uint8_t)c);
}

struct text_sink {
	char *out;
	size_t bytes, used;
};

static void text_add(struct text_sink *sink, char c)
{
	if (sink->used + 1 < sink->bytes)
		sink->out[sink->used] = c;
	sink->used++;
}

static void text_pad(struct text_sink *sink, int count, char c)
{
	while (count-- > 0)
		text_add(sink, c);
}

static void text_string(struct text_sink *sink, const char *s, int width, bool left)
{
	int length;

	if (!s)
		s = "(null)";
	length = (int)strlen(s);
	if (!left)
		text_pad(sink, width - length, ' ');
	for (int i = 0; i < length; i++)
		text_add(sink, s[i]);
	if (left)
		text_pad(sink, width - length, ' ');
}

struct text_number {
	uint64_t value;
	unsigned base;
	int width;
	bool negative, zero, left;
};

static void text_number(struct text_sink *sink, struct text_number n)
{
	char digits[24];
	int length = 0, total;

	do {
		digits[length++] = "0123456789abcdef"[n.value % n.base];
		n.value /= n.base;
	} while (n.value);
	total = length + n.negative;
	if (!n.left && !n.zero)
		text_pad(sink, n.width - total, ' ');
	if (n.negative)
		text_add(sink, '-');
	if (!n.left && n.zero)
		text_pad(sink, n.width - total, '0');
	while (length)
		text_add(sink, digits[--length]);
	if (n.left)
		text_pad(sink, n.width - total, ' ');
}

int text_format(char *out, size_t bytes, const char *format, va_list args)
{
	struct text_sink sink = { out, bytes, 0 };

	for (; *format; format++) {
		struct text_number n = { .base = 10 };
		int longs = 0;

		if (*format != '%') {
			text_add(&sink, *format);
			continue;
		}
		for (format++; *format == '0' || *format == '-'; format++) {
			n.zero |= *format == '0';
			n.left |= *format == '-';
		}
		for (; *format >= '0' && *format <= '9'; format++)
			n.width = n.width * 10 + (*format - '0');
		for (; *format == 'l' || *format == 'z'; format++)
			longs++;
		switch (*format) {
		case 's':
			text_string(&sink, va_arg(args, const char *), n.width, n.left);
			break;
		case 'c':
			text_add(&sink, (char)va_arg(args, int));
			break;
		case 'd':
		case 'u':
		case 'x':
			n.base = *format == 'x' ? 16 : 10;
			n.value = longs ? va_arg(args, uint64_t) : va_arg(args, unsigned);
			if (*format == 'd') {
				int64_t s = longs ? (int64_t)n.value : (int32_t)n.value;

				n.negative = s < 0;
				n.value = s < 0 ? -(uint64_t)s : (uint64_t)s;
			}
			text_number(&sink, n);
			break;
		case 'p':
			n.base = 16;
			n.value = (uint64_t)va_arg(args, void *);
			text_number(&sink, n);
			break;
		default:
			text_add(&sink, *format);
			if (!*format)
				format--;
			break;
		}
	}
	if (bytes)
		out[sink.used < bytes ? sink.used : bytes - 1] = 0;
	return (int)sink.used;
}

void text_print(const char *format, ...)
{
	char line[512];
	va_list args;
	uint64_t flags;

	va_start(args, format);
	text_format(line, sizeof(line), format, args);
	va_end(args);
	/* An interrupt handler that prints while its CPU holds the lock would wait for ever. */
	flags = read_rflags();
	irq_disable();
	while (__atomic_exchange_n(&text_lock, true, __ATOMIC_ACQUIRE))
		cpu_relax();
	for (const char *s = line; *s; s++) {
		if (*s == '\n')
			text_put('\r');
		text_put(*s);
	}
	__atomic_store_n(&text_lock, false, __ATOMIC_RELEASE);
	if (flags & RFLAGS_IF)
		irq_enable();
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	for (uint8_t *d = to; bytes--;)
		d[bytes] = ((const volatile uint8_t *)from)[bytes];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const volatile uint8_t *x = a, *y = b;

	for (size_t i = 0; i < bytes; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *s)
{
	const volatile char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}

bool text_contains(const char *text, const char *needle)
{
	size_t n = strlen(needle), t = strlen(text);

	for (size_t i = 0; i + n <= t; i++)
		if (!memcmp(text + i, needle, n))
			return true;
	return false;
}
