/*
 * The kernel's log: polled serial port, screen and a ring that a service VM can read. Lines begin with
 * "hilum: ". Callable from any core, interrupts off as ever in root mode, but not from an NMI handler. Lock: log_lock
 * (rank LOG, the highest).
 */
#ifndef ARCH_X86_64_LOG_H
#define ARCH_X86_64_LOG_H

#include "boot/boot_info.h"

#include <hilum/abi.h>
#include <hilum/log_ring.h>

/* The last run's end and log, if a warm reset has left them; else all zero. Constant after log_open_box. */
extern struct hilum_last_run log_last_run;

/*
 * From now on the log goes to `box` too, two pages at a fixed place that neither firmware nor boot loader touches (LOG_BOX_HPA, right
 * below the image); what lies there is taken out first. Without this call there is none.
 */
#define LOG_BOX_HPA 0x1FE000ull
void log_open_box(struct hilum_last_run *box);

/* The run ends now; why. */
void log_set_end(enum hilum_end end);

/* One line each; a newline is added. Formats: format.h's. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define log_warn(...) log_info("warning: " __VA_ARGS__)

/*
 * Opens the serial port at the hexadecimal address `serial` ("0x2f8"; NULL: 0x3f8; "none": no port), 115200
 * baud. A port that fails a loop-back test is left alone.
 */
void log_init_serial(const char *serial);

/* Takes the screen over and clears it. `fb` is its address in the current tables; NULL: no screen. Called again with the final
 * tables' address; between, while other tables than that call's are loaded, nothing is drawn. */
void log_init_screen(const struct boot_screen *screen, void *fb);

/* The serial port passes to a service VM: from now on lines go to ring and screen only, until a panic takes
 * it back. */
void log_serial_release(void);

/* Port of the serial line the log uses or used, 0 if there is none. */
extern uint16_t log_serial_port;

/* The ring, page-aligned, sizeof(struct log_ring) bytes; in the kernel image (kernel_virt_to_hpa gives its
 * address). */
extern struct log_ring log_ring;

/* For panic only: breaks the lock, reclaims the serial port; later lines reach every sink. */
void log_enter_panic(void);

#endif
