/* The log's two devices, called by log.c alone, under its lock. Neither can fail: a device that is not there
 * takes no text. */
#ifndef ARCH_X86_64_LOG_SINK_H
#define ARCH_X86_64_LOG_SINK_H

#include "arch/x86_64/types.h"

/* Opens a 16550-compatible UART, 115200 baud, 8n1, interrupts off. False: none answers there. */
bool log_serial_open(uint16_t port);
/* Waits for room, though not for ever. */
void log_serial_put(uint16_t port, char c);

void log_screen_put(char c);

#define FONT_FIRST 0x20u
#define FONT_LAST  0x7Eu
#define FONT_ROWS  7u
extern const uint64_t log_font[FONT_LAST - FONT_FIRST + 1];

#endif
