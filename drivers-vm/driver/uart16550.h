/*
 * A 16550A serial port: National Semiconductor PC16550D datasheet, Table II (registers) and section 8.6 (FIFO
 * operation). Transmission takes no time: a byte written is on the line at once, and leaves here gathered
 * into larger pieces.
 */
#ifndef DRIVERS_VM_DRIVER_UART16550_H
#define DRIVERS_VM_DRIVER_UART16550_H

#include "drivers-vm/driver/model_host.h"

#define UART_PORTS      8u
#define UART_FIFO_BYTES 16u
#define UART_LINE_BYTES 1024u /* input that waits "on the wire" behind the FIFO; a power of two */
#define UART_TX_BYTES   512u

/* Register offsets; 0 and 1 are the divisor latch while LCR.DLAB is set. */
#define UART_RBR_THR 0u
#define UART_IER     1u
#define UART_IIR_FCR 2u
#define UART_LCR     3u
#define UART_MCR     4u
#define UART_LSR     5u
#define UART_MSR     6u
#define UART_SCR     7u

#define UART_IER_ERBFI 0x01u
#define UART_IER_ETBEI 0x02u
#define UART_IER_ELSI  0x04u
#define UART_IER_EDSSI 0x08u
#define UART_IER_MASK  0x0Fu

#define UART_IIR_NONE    0x01u
#define UART_IIR_MSR     0x00u
#define UART_IIR_THRE    0x02u
#define UART_IIR_RX      0x04u
#define UART_IIR_LSR     0x06u
#define UART_IIR_TIMEOUT 0x0Cu
#define UART_IIR_FIFO    0xC0u

#define UART_FCR_ENABLE   0x01u
#define UART_FCR_RX_RESET 0x02u
#define UART_FCR_TX_RESET 0x04u
#define UART_FCR_TRIGGER  0xC0u

#define UART_LCR_BREAK 0x40u
#define UART_LCR_DLAB  0x80u

#define UART_MCR_DTR  0x01u
#define UART_MCR_RTS  0x02u
#define UART_MCR_OUT1 0x04u
#define UART_MCR_OUT2 0x08u
#define UART_MCR_LOOP 0x10u
#define UART_MCR_MASK 0x1Fu

#define UART_LSR_DR   0x01u
#define UART_LSR_OE   0x02u
#define UART_LSR_BI   0x10u
#define UART_LSR_THRE 0x20u
#define UART_LSR_TEMT 0x40u

#define UART_MSR_DCTS 0x01u
#define UART_MSR_DDSR 0x02u
#define UART_MSR_TERI 0x04u
#define UART_MSR_DDCD 0x08u
#define UART_MSR_CTS  0x10u
#define UART_MSR_DSR  0x20u
#define UART_MSR_RI   0x40u
#define UART_MSR_DCD  0x80u

struct uart16550 {
	const struct model_host *host;
	struct model_irq irq;
	unsigned console;
	uint8_t ier, lcr, mcr, msr, scr, dll, dlm;
	uint8_t lsr_errors; /* OE and BI until LSR is read */
	bool fifo_enabled;
	uint8_t rx_trigger; /* bytes */
	bool thre_pending;  /* the THRE interrupt's own latch: datasheet Table IV */
	bool rx_timed_out;
	bool irq_level;
	bool input_refused;
	bool tx_timer_armed;
	uint8_t fifo[UART_FIFO_BYTES];
	unsigned fifo_head, fifo_count;
	uint8_t line[UART_LINE_BYTES];
	unsigned line_head, line_count;
	uint8_t tx[UART_TX_BYTES];
	unsigned tx_count;
};

/* Sets up the power-on state. `host` must outlive the model; `console` names the output's place in
 * console_write. */
void uart16550_init(struct uart16550 *uart, const struct model_host *host, struct model_irq irq, unsigned console);

/* Back to the power-on state; gathered output is written out, waiting input is dropped. */
void uart16550_reset(struct uart16550 *uart);

/* Register access; `offset` below UART_PORTS. */
uint8_t uart16550_read(struct uart16550 *uart, unsigned offset);
void uart16550_write(struct uart16550 *uart, unsigned offset, uint8_t value);

/* Puts bytes on the receive line; returns how many fitted. After a short count, host->console_ready says when
 * to go on. */
size_t uart16550_input(struct uart16550 *uart, const uint8_t *bytes, size_t count);

/* MODEL_TIMER_UART_RX and MODEL_TIMER_UART_TX have expired. */
void uart16550_rx_timeout(struct uart16550 *uart);
void uart16550_flush(struct uart16550 *uart);

#endif
