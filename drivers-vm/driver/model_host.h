/*
 * What a device model may ask of its surroundings, and nothing else: the models are pure, hold all state in
 * structs of their caller, allocate nothing and make no hypercall, so that the same sources run in the driver
 * VM and in host unit tests.
 */
#ifndef DRIVERS_VM_DRIVER_MODEL_HOST_H
#define DRIVERS_VM_DRIVER_MODEL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_NS_PER_SECOND 1000000000ull

#define MODEL_DISKS 8u /* a machine has at most */
#define MODEL_NICS  4u
#define MODEL_LINKS 4u /* ends of channels to other machines */

/* Each timer is one-shot; arming it again replaces the earlier deadline. */
enum model_timer {
	MODEL_TIMER_UART_RX,      /* receiver character time-out */
	MODEL_TIMER_UART_TX,      /* hands gathered output to the console */
	MODEL_TIMER_PIT,          /* next rising edge of channel 0's output */
	MODEL_TIMER_RTC_PERIODIC, /* register A's rate */
	MODEL_TIMER_RTC_SECOND,   /* update-ended and alarm */
	MODEL_TIMER_CONSOLE,      /* the virtio console's next slice of output */
	MODEL_TIMER_WATCHDOG,
	MODEL_TIMER_DISK,                                 /* the first virtio disk's I/O limit lets the next request through */
	MODEL_TIMER_NIC = MODEL_TIMER_DISK + MODEL_DISKS, /* likewise for the first network card */
	MODEL_TIMER_COUNT = MODEL_TIMER_NIC + MODEL_NICS
};

enum model_request {
	MODEL_REQUEST_POWER_OFF,   /* value unused */
	MODEL_REQUEST_RESET,       /* value: enum model_reset_cause */
	MODEL_REQUEST_DEBUG_EXIT,  /* value: what the guest wrote; the exit status is (value << 1) | 1 */
	MODEL_REQUEST_DEBUG_CRASH, /* value: what the guest wrote */
	/* After these the guest goes on. */
	MODEL_REQUEST_WATCHDOG, /* the guest has not touched it in time */
	MODEL_REQUEST_EJECT,    /* value: the processor that the guest has let go of */
};

enum model_reset_cause {
	MODEL_RESET_ACPI,
	MODEL_RESET_CF9,
	MODEL_RESET_KEYBOARD,
	MODEL_RESET_PORT92,
};

/*
 * Callbacks into the surroundings; `ctx` comes first in each. A callback must not call back into the machine:
 * it notes what happened and acts after the machine_* call has returned. Those marked optional may be NULL.
 */
struct model_host {
	void *ctx;
	/* Monotonic guest time, nanoseconds; never goes back while the machine exists. */
	uint64_t (*now_ns)(void *ctx);
	/* Calls machine_timer(id) once `deadline_ns` (same clock) has passed; 0 disarms. */
	void (*timer_arm)(void *ctx, unsigned timer_id, uint64_t deadline_ns);
	/* A write of `data` to the xAPIC-format message address: SDM vol. 3A, 11.11 Message Signalled
	 * Interrupts. */
	void (*inject_msi)(void *ctx, uint64_t address, uint32_t data);
	/* Optional. The 8259A pair's INTR output, wired to every LINT0; acknowledge it with
	 * machine_pic_acknowledge. */
	void (*set_intr_line)(void *ctx, bool level);
	/* A pointer to guest RAM [gpa, gpa + bytes), or NULL unless all of it is RAM. Running vCPUs write
	 * there as we read. */
	void *(*guest_ram)(void *ctx, uint64_t gpa, uint64_t bytes);
	/*
	 * Optional. What is in [bytes, bytes + count), from guest_ram, is of no worth: the memory may go, and come back zeroed at the
	 * next access. False: the callee leaves it there, as while a real device may be at the guest's memory.
	 */
	bool (*discard)(void *ctx, void *bytes, uint64_t count);
	/* Output of a guest's console; the callee takes all of it. */
	void (*console_write)(void *ctx, unsigned console, const uint8_t *bytes, size_t count);
	/* Optional. A console that took less input than it was offered has room again. */
	void (*console_ready)(void *ctx, unsigned console);
	/* Optional. What virtio_pci_doorbell says of some device has changed: bind the new one. */
	void (*doorbells_changed)(void *ctx);
	/*
	 * Optional. A virtqueue may have work that is better not done within the guest's access: call machine_serve soon. Without
	 * it the work is done at once.
	 */
	void (*kick)(void *ctx);
	/*
	 * Optional, for what comes from outside of machine_* calls, as completions of real devices do: between the two, no other
	 * call on this machine runs. They nest.
	 */
	void (*enter)(void *ctx);
	void (*leave)(void *ctx);
	/* Optional. The other end of the channel `number` gets an interrupt, if it is there. */
	void (*ring_peer)(void *ctx, uint32_t number, unsigned vector);
	/* Random bytes for the guest; returns how many there are. */
	size_t (*entropy)(void *ctx, void *to, size_t count);
	/* The guest asks for a change of its VM's life. */
	void (*request)(void *ctx, enum model_request request, uint32_t value);
	/* Optional. One line for the operator, no newline; models call it at most a few times per guest life.
	 */
	void (*log)(void *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));
};

/* One interrupt wire from a model to the interrupt controllers. */
struct model_irq {
	void (*set)(void *ctx, unsigned irq, bool level);
	void *ctx;
	unsigned irq;
};

static inline void model_irq_set(const struct model_irq *wire, bool level)
{
	wire->set(wire->ctx, wire->irq, level);
}

/* A flag in memory where anything may be found: the state that a driver VM has left. */
static inline bool model_flag(const bool *flag)
{
	return *(const uint8_t *)flag != 0;
}

static inline uint64_t model_now(const struct model_host *host)
{
	return host->now_ns(host->ctx);
}

static inline void model_timer_arm(const struct model_host *host, enum model_timer timer, uint64_t deadline_ns)
{
	host->timer_arm(host->ctx, timer, deadline_ns);
}

#define MODEL_LOG(host, ...) \
	do { \
		if ((host)->log != NULL) \
			(host)->log((host)->ctx, __VA_ARGS__); \
	} while (0)

#endif
