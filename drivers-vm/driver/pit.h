/*
 * The 8254 interval timer of a PC and port 61h: Intel 8254 datasheet. Counters are not counted down: their
 * value is worked out from the time of the last load whenever somebody looks.
 */
#ifndef DRIVERS_VM_DRIVER_PIT_H
#define DRIVERS_VM_DRIVER_PIT_H

#include "drivers-vm/driver/model_host.h"

#define PIT_PORT     0x40u
#define PIT_PORT61   0x61u
#define PIT_HZ       1193182ull
#define PIT_CHANNELS 3u

struct pit_channel {
	uint32_t count;        /* of the cycle under way, 1 .. 65536 (10000 in BCD) */
	uint32_t reload;       /* last written; taken over at the next load */
	uint64_t start_ns;     /* while running: when the cycle began */
	uint64_t paused_ticks; /* while not: how far it had come */
	uint16_t latched_count;
	uint8_t latched_status;
	uint8_t mode, access; /* access: 1 low byte, 2 high byte, 3 low then high */
	uint8_t write_low;
	bool bcd, gate;
	bool armed; /* a count has been written since the control word */
	bool running;
	bool reload_pending; /* modes 2 and 3 take a new count at the end of the cycle */
	bool count_latched, status_latched;
	bool write_high_next, read_high_next;
};

struct pit {
	const struct model_host *host;
	struct model_irq irq;
	struct pit_channel channel[PIT_CHANNELS];
	uint64_t deadline_ns; /* of the armed timer, 0 if none */
	uint8_t speaker_data;
};

void pit_init(struct pit *pit, const struct model_host *host, struct model_irq irq);
void pit_reset(struct pit *pit);

/* Ports 40h..43h (`offset` 0..3) and 61h. */
uint8_t pit_read(struct pit *pit, unsigned offset);
void pit_write(struct pit *pit, unsigned offset, uint8_t value);
uint8_t pit_read_port61(struct pit *pit);
void pit_write_port61(struct pit *pit, uint8_t value);

/* MODEL_TIMER_PIT has expired. */
void pit_timer(struct pit *pit);

#endif
