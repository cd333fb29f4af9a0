/* A polled, write-only 16550. National PC16550D datasheet, 8 Registers. */
#include "arch/x86_64/log_sink.h"
#include "arch/x86_64/cpu.h"

enum { UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5 };

#define LCR_8N1       0x03u
#define LCR_DLAB      0x80u
#define FCR_ENABLE    0x07u /* FIFOs on, both cleared */
#define MCR_DTR_RTS   0x03u
#define MCR_LOOP      0x10u
#define LSR_DATA      0x01u
#define LSR_THR_EMPTY 0x20u
#define DIVISOR       1u /* 115200 baud */
#define WAIT_ROUNDS   200000u

bool log_serial_open(uint16_t port)
{
	bool echoed = false;

	outb(port + UART_IER, 0);
	outb(port + UART_LCR, LCR_DLAB);
	outb(port + UART_DATA, DIVISOR);
	outb(port + UART_IER, 0);
	outb(port + UART_LCR, LCR_8N1);
	outb(port + UART_FCR, FCR_ENABLE);
	outb(port + UART_MCR, MCR_LOOP | MCR_DTR_RTS);
	outb(port + UART_DATA, 0xA5);
	/* Real ones echo after one character time, some emulated ones at once. */
	for (uint32_t i = 0; i < WAIT_ROUNDS && !echoed; i++)
		echoed = (inb(port + UART_LSR) & LSR_DATA) && inb(port + UART_DATA) == 0xA5;
	outb(port + UART_MCR, MCR_DTR_RTS);
	return echoed;
}

void log_serial_put(uint16_t port, char c)
{
	for (uint32_t i = 0; i < WAIT_ROUNDS && !(inb(port + UART_LSR) & LSR_THR_EMPTY); i++)
		cpu_pause();
	outb(port + UART_DATA, (uint8_t)c);
}
