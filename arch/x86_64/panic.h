/*
 * The end of the kernel: for its own broken invariants only, never for anything a guest or service VM can
 * cause. Prints to every sink, stops the other cores by NMI, then resets after five seconds ("panic=N" on
 * the command line: N; "panic=halt": stays).
 */
#ifndef ARCH_X86_64_PANIC_H
#define ARCH_X86_64_PANIC_H

#include "arch/x86_64/types.h"

struct trap_frame;

_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* The same, dumping the registers of `frame` instead of the caller's. */
_Noreturn void panic_at(const struct trap_frame *frame, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* Stops the boot with one sentence ("hilum: cannot start: ...") when the machine or its set-up will not do;
 * no dump. */
_Noreturn void boot_refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* Stops this core for ever. */
_Noreturn void panic_halt(void);

/* True from the first line of a panic: NMI handlers halt their core. */
bool panic_is_active(void);

/* What a function's frame is guarded with (-fstack-protector-strong), and what its end calls when that has changed: the compiler's names.
 */
extern uint64_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);

/* Resets the machine by whatever works: ACPI's register, port 0xCF9, a triple fault. */
_Noreturn void machine_reset(void);

/* Stays in release builds; may be a check's last line of defence, never its only one. */
#define assert(c) ((c) ? (void)0 : panic("%s:%u: assertion failed: %s", __FILE__, __LINE__, #c))

#endif
