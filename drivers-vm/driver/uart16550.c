/*
 * The 16550A's registers, FIFOs and interrupt priorities. Nothing here blocks, and no register value of the
 * guest can make the model wait for real time: a baud rate only sets how long the receiver's character
 * time-out takes.
 */
#include "drivers-vm/driver/uart16550.h"

#include <string.h>

#define UART_CLOCK_HZ       1843200ull
#define UART_TX_FLUSH_NS    4000000ull  /* output waits this long for company: less than a screen's frame */
#define UART_RX_TIMEOUT_MAX 20000000ull /* a divisor of 65535 must not hold input back for seconds */

static const uint8_t trigger_bytes[4] = { 1, 4, 8, 14 };

static bool interrupt_identify(const struct uart16550 *uart, uint8_t *iir)
{
	/* Highest priority first: datasheet Table IV. */
	if ((uart->ier & UART_IER_ELSI) && uart->lsr_errors) {
		*iir = UART_IIR_LSR;
		return true;
	}
	if ((uart->ier & UART_IER_ERBFI) && uart->fifo_count >= uart->rx_trigger) {
		*iir = UART_IIR_RX;
		return true;
	}
	if ((uart->ier & UART_IER_ERBFI) && uart->rx_timed_out) {
		*iir = UART_IIR_TIMEOUT;
		return true;
	}
	if ((uart->ier & UART_IER_ETBEI) && uart->thre_pending) {
		*iir = UART_IIR_THRE;
		return true;
	}
	if ((uart->ier & UART_IER_EDSSI) && (uart->msr & (UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_TERI | UART_MSR_DDCD))) {
		*iir = UART_IIR_MSR;
		return true;
	}
	*iir = UART_IIR_NONE;
	return false;
}

static void interrupt_update(struct uart16550 *uart)
{
	uint8_t iir;
	/* On a PC, OUT2 gates the interrupt onto the bus; loopback holds the OUT2 pin inactive. */
	bool gate = (uart->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
	bool level = interrupt_identify(uart, &iir) && gate;

	if (level != uart->irq_level) {
		uart->irq_level = level;
		model_irq_set(&uart->irq, level);
	}
}

static uint64_t character_time_ns(const struct uart16550 *uart)
{
	uint64_t divisor = uart->dll | (uint64_t)uart->dlm << 8;
	uint64_t bits = 1 + 5 + (uart->lcr & 3) + ((uart->lcr >> 2) & 1) + ((uart->lcr >> 3) & 1) + 1;

	if (divisor == 0)
		divisor = 1;
	return bits * divisor * 16 * MODEL_NS_PER_SECOND / UART_CLOCK_HZ;
}

/* The time-out counts from the last byte received or read: datasheet 8.6, "FIFO timeout interrupts". */
static void rx_timeout_restart(struct uart16550 *uart)
{
	uint64_t delay;

	uart->rx_timed_out = false;
	if (!uart->fifo_enabled || uart->fifo_count == 0 || uart->fifo_count >= uart->rx_trigger)
		return;
	delay = 4 * character_time_ns(uart);
	if (delay > UART_RX_TIMEOUT_MAX)
		delay = UART_RX_TIMEOUT_MAX;
	model_timer_arm(uart->host, MODEL_TIMER_UART_RX, model_now(uart->host) + delay);
}

static unsigned fifo_capacity(const struct uart16550 *uart)
{
	return uart->fifo_enabled ? UART_FIFO_BYTES : 1;
}

static bool fifo_put(struct uart16550 *uart, uint8_t byte)
{
	if (uart->fifo_count >= fifo_capacity(uart))
		return false;
	uart->fifo[(uart->fifo_head + uart->fifo_count++) % UART_FIFO_BYTES] = byte;
	return true;
}

/* Moves waiting input into the FIFO. An idle sender would: no overrun can happen on this line. */
static void line_advance(struct uart16550 *uart)
{
	if (uart->mcr & UART_MCR_LOOP)
		return;
	while (uart->line_count && fifo_put(uart, uart->line[uart->line_head])) {
		uart->line_head = (uart->line_head + 1) % UART_LINE_BYTES;
		uart->line_count--;
	}
	if (uart->input_refused && uart->line_count <= UART_LINE_BYTES / 2) {
		uart->input_refused = false;
		if (uart->host->console_ready != NULL)
			uart->host->console_ready(uart->host->ctx, uart->console);
	}
}

static uint8_t rbr_read(struct uart16550 *uart)
{
	uint8_t byte;

	if (uart->fifo_count == 0)
		return 0;
	byte = uart->fifo[uart->fifo_head];
	uart->fifo_head = (uart->fifo_head + 1) % UART_FIFO_BYTES;
	uart->fifo_count--;
	/* Refill only an empty FIFO, so that a burst reaches the guest as bursts and not as a byte per
	 * interrupt. */
	if (uart->fifo_count == 0)
		line_advance(uart);
	rx_timeout_restart(uart);
	interrupt_update(uart);
	return byte;
}

static void thr_write(struct uart16550 *uart, uint8_t byte)
{
	if (uart->mcr & UART_MCR_LOOP) {
		if (!fifo_put(uart, byte))
			uart->lsr_errors |= UART_LSR_OE;
		rx_timeout_restart(uart);
	} else {
		uart->tx[uart->tx_count++] = byte;
		if (uart->tx_count == UART_TX_BYTES) {
			uart16550_flush(uart);
		} else if (!uart->tx_timer_armed) {
			uart->tx_timer_armed = true;
			model_timer_arm(uart->host, MODEL_TIMER_UART_TX, model_now(uart->host) + UART_TX_FLUSH_NS);
		}
	}
	/*
	 * Sent at once, the byte raises the THRE interrupt again. One that is pending already stays so
	 * without a new edge: a driver that fills the FIFO in one go gets one interrupt for it, as from a
	 * real FIFO that has run empty.
	 */
	uart->thre_pending = true;
	if ((uart->ier & UART_IER_ETBEI) || (uart->mcr & UART_MCR_LOOP))
		interrupt_update(uart);
}

static void fcr_write(struct uart16550 *uart, uint8_t value)
{
	bool enable = value & UART_FCR_ENABLE;
	bool changed = enable != uart->fifo_enabled;

	uart->fifo_enabled = enable;
	/* The other bits are programmed only while FCR0 is one; changing it clears the FIFOs: datasheet 8.4.
	 */
	if (changed || (enable && (value & UART_FCR_RX_RESET))) {
		uart->fifo_count = 0;
		uart->rx_timed_out = false;
	}
	if (changed || (enable && (value & UART_FCR_TX_RESET)))
		uart->thre_pending = true;
	uart->rx_trigger = enable ? trigger_bytes[(value & UART_FCR_TRIGGER) >> 6] : 1;
	line_advance(uart);
	rx_timeout_restart(uart);
	interrupt_update(uart);
}

static void ier_write(struct uart16550 *uart, uint8_t value)
{
	uint8_t raised = (value & ~uart->ier) & UART_IER_MASK;

	uart->ier = value & UART_IER_MASK;
	/* Enabling the THRE interrupt while the holding register is empty, which it always is, asserts it
	 * again. */
	if (raised & UART_IER_ETBEI)
		uart->thre_pending = true;
	interrupt_update(uart);
}

static uint8_t modem_lines(const struct uart16550 *uart)
{
	uint8_t lines = 0;

	if (!(uart->mcr & UART_MCR_LOOP))
		return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	if (uart->mcr & UART_MCR_RTS)
		lines |= UART_MSR_CTS;
	if (uart->mcr & UART_MCR_DTR)
		lines |= UART_MSR_DSR;
	if (uart->mcr & UART_MCR_OUT1)
		lines |= UART_MSR_RI;
	if (uart->mcr & UART_MCR_OUT2)
		lines |= UART_MSR_DCD;
	return lines;
}

static void mcr_write(struct uart16550 *uart, uint8_t value)
{
	uint8_t old, new, changed;

	uart->mcr = value & UART_MCR_MASK;
	old = uart->msr & 0xF0;
	new = modem_lines(uart);
	changed = old ^ new;
	uart->msr = new | (uart->msr & 0x0F);
	if (changed & UART_MSR_CTS)
		uart->msr |= UART_MSR_DCTS;
	if (changed & UART_MSR_DSR)
		uart->msr |= UART_MSR_DDSR;
	if ((changed & UART_MSR_RI) && !(new &UART_MSR_RI))
		uart->msr |= UART_MSR_TERI; /* trailing edge only */
	if (changed & UART_MSR_DCD)
		uart->msr |= UART_MSR_DDCD;
	line_advance(uart);
	rx_timeout_restart(uart);
	interrupt_update(uart);
}

static void lcr_write(struct uart16550 *uart, uint8_t value)
{
	bool breaks = (value & UART_LCR_BREAK) && !(uart->lcr & UART_LCR_BREAK);

	uart->lcr = value;
	/* In loopback the receiver sees its own break: one zero byte with BI set. */
	if (breaks && (uart->mcr & UART_MCR_LOOP)) {
		if (fifo_put(uart, 0))
			uart->lsr_errors |= UART_LSR_BI;
		rx_timeout_restart(uart);
		interrupt_update(uart);
	}
}

uint8_t uart16550_read(struct uart16550 *uart, unsigned offset)
{
	uint8_t value = 0xFF;

	switch (offset) {
	case UART_RBR_THR:
		return (uart->lcr & UART_LCR_DLAB) ? uart->dll : rbr_read(uart);
	case UART_IER:
		return (uart->lcr & UART_LCR_DLAB) ? uart->dlm : uart->ier;
	case UART_IIR_FCR:
		interrupt_identify(uart, &value);
		if (value == UART_IIR_THRE) {
			uart->thre_pending = false;
			interrupt_update(uart);
		}
		return value | (uart->fifo_enabled ? UART_IIR_FIFO : 0);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		value = UART_LSR_THRE | UART_LSR_TEMT | uart->lsr_errors | (uart->fifo_count ? UART_LSR_DR : 0);
		if (uart->lsr_errors) {
			uart->lsr_errors = 0;
			interrupt_update(uart);
		}
		return value;
	case UART_MSR:
		value = uart->msr;
		uart->msr &= 0xF0;
		interrupt_update(uart);
		return value;
	case UART_SCR:
		return uart->scr;
	}
	return value;
}

void uart16550_write(struct uart16550 *uart, unsigned offset, uint8_t value)
{
	switch (offset) {
	case UART_RBR_THR:
		if (uart->lcr & UART_LCR_DLAB)
			uart->dll = value;
		else
			thr_write(uart, value);
		return;
	case UART_IER:
		if (uart->lcr & UART_LCR_DLAB)
			uart->dlm = value;
		else
			ier_write(uart, value);
		return;
	case UART_IIR_FCR:
		fcr_write(uart, value);
		return;
	case UART_LCR:
		lcr_write(uart, value);
		return;
	case UART_MCR:
		mcr_write(uart, value);
		return;
	case UART_SCR:
		uart->scr = value;
		return;
	}
	/* LSR and MSR: factory test only; writes are not for software. */
}

size_t uart16550_input(struct uart16550 *uart, const uint8_t *bytes, size_t count)
{
	size_t taken = 0;

	while (taken < count && uart->line_count < UART_LINE_BYTES) {
		uart->line[(uart->line_head + uart->line_count++) % UART_LINE_BYTES] = bytes[taken++];
	}
	if (taken < count)
		uart->input_refused = true;
	if (taken) {
		line_advance(uart);
		rx_timeout_restart(uart);
		interrupt_update(uart);
	}
	return taken;
}

void uart16550_rx_timeout(struct uart16550 *uart)
{
	if (uart->fifo_enabled && uart->fifo_count) {
		uart->rx_timed_out = true;
		interrupt_update(uart);
	}
}

void uart16550_flush(struct uart16550 *uart)
{
	unsigned count = uart->tx_count;

	if (uart->tx_timer_armed) {
		uart->tx_timer_armed = false;
		model_timer_arm(uart->host, MODEL_TIMER_UART_TX, 0);
	}
	uart->tx_count = 0;
	if (count)
		uart->host->console_write(uart->host->ctx, uart->console, uart->tx, count);
}

void uart16550_reset(struct uart16550 *uart)
{
	const struct model_host *host = uart->host;
	struct model_irq irq = uart->irq;
	unsigned console = uart->console;

	uart16550_flush(uart);
	if (uart->irq_level)
		model_irq_set(&irq, false);
	model_timer_arm(host, MODEL_TIMER_UART_RX, 0);
	uart16550_init(uart, host, irq, console);
}

void uart16550_init(struct uart16550 *uart, const struct model_host *host, struct model_irq irq, unsigned console)
{
	memset(uart, 0, sizeof(*uart));
	uart->host = host;
	uart->irq = irq;
	uart->console = console;
	uart->rx_trigger = 1;
	uart->dll = 12; /* 9600 baud, as firmware leaves it */
	uart->lcr = 3;
	uart->msr = modem_lines(uart);
	uart->thre_pending = true;
}
