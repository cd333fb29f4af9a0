/* 16550 driver with a transmit queue. The registers are the host's own: what they say steers nothing but this line. */
#include "drivers-vm/driver/serial.h"
#include "drivers-vm/runtime/service.h"

#define UART_DATA 0u
#define UART_IER  1u
#define UART_IIR  2u
#define UART_FCR  2u
#define UART_MCR  4u
#define UART_LSR  5u

#define IER_RECEIVE      0x01u
#define IER_TRANSMIT     0x02u
#define IIR_NONE_PENDING 0x01u
#define LSR_RECEIVED     0x01u
#define LSR_THRE         0x20u
#define FIFO_BYTES       16u

#define QUEUE_BYTES 16384u

static uint16_t uart;
static uint32_t irq_event;
static uint8_t queue[QUEUE_BYTES];
static uint32_t queue_in, queue_out;
static uint8_t enabled;

static uint8_t reg_read(unsigned reg)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)(uart + reg)));
	return value;
}

static void reg_write(unsigned reg, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"((uint16_t)(uart + reg)));
}

static void enable(uint8_t mask)
{
	if (mask != enabled) {
		enabled = mask;
		reg_write(UART_IER, mask);
	}
}

void serial_init(uint16_t port, uint32_t event)
{
	uart = port;
	irq_event = event;
	if (uart == 0)
		return;
	reg_write(UART_IER, 0);
	reg_write(UART_FCR, 0x07); /* FIFOs on and empty, trigger at one byte */
	reg_write(UART_MCR, 0x0B); /* DTR, RTS, OUT2 gates the interrupt */
	enabled = 0;
	enable(IER_RECEIVE);
	if (irq_event != 0)
		hc(HC_IRQ_ACK, irq_event);
}

/* Fill the transmitter as often as it is empty. */
static void pump(void)
{
	while (queue_out != queue_in && (reg_read(UART_LSR) & LSR_THRE))
		for (unsigned i = 0; i < FIFO_BYTES && queue_out != queue_in; i++)
			reg_write(UART_DATA, queue[queue_out++ % QUEUE_BYTES]);
	enable(queue_out != queue_in && irq_event != 0 ? IER_RECEIVE | IER_TRANSMIT : IER_RECEIVE);
}

void serial_write(const uint8_t *bytes, size_t count)
{
	if (uart == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		while (queue_in - queue_out == QUEUE_BYTES)
			pump();
		queue[queue_in++ % QUEUE_BYTES] = bytes[i];
	}
	pump();
}

bool serial_has_room(size_t count)
{
	return uart == 0 || irq_event == 0 || QUEUE_BYTES - (queue_in - queue_out) >= count;
}

size_t serial_interrupt(uint8_t *bytes, size_t size)
{
	size_t n = 0;

	if (uart == 0)
		return 0;
	/*
	 * The line is an edge-triggered one and masked until the acknowledgement: what rose before that has to be found by looking,
	 * and a line that has not fallen since never rises again.
	 */
	do {
		while (n < size && (reg_read(UART_LSR) & LSR_RECEIVED))
			bytes[n++] = reg_read(UART_DATA);
		pump();
		if (irq_event != 0)
			hc(HC_IRQ_ACK, irq_event);
	} while (n < size && !(reg_read(UART_IIR) & IIR_NONE_PENDING));
	return n;
}

void serial_flush(void)
{
	while (uart != 0 && queue_out != queue_in)
		pump();
	while (uart != 0 && !(reg_read(UART_LSR) & 0x40)) /* the shift register too */
		;
}
