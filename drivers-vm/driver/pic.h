/* The pair of 8259A interrupt controllers of a PC: Intel 8259A datasheet; ELCR from the 82371AB (PIIX4)
 * datasheet, 4.2.5. */
#ifndef DRIVERS_VM_DRIVER_PIC_H
#define DRIVERS_VM_DRIVER_PIC_H

#include "drivers-vm/driver/model_host.h"

#define PIC_MASTER_PORT 0x20u
#define PIC_SLAVE_PORT  0xA0u
#define PIC_ELCR_PORT   0x4D0u
#define PIC_CASCADE_IRQ 2u
#define PIC_IRQS        16u

struct pic_chip {
	uint8_t irr, imr, isr;
	uint8_t lines;
	uint8_t elcr, elcr_writable;
	uint8_t base; /* ICW2: bits 7..3 of the vector */
	uint8_t icw4;
	uint8_t lowest;    /* the level with the lowest priority now */
	uint8_t init_step; /* which ICW the next write to port 1 is; 0 outside initialisation */
	bool expect_icw4, single;
	bool special_mask, poll, read_isr, rotate_on_aeoi;
	bool initialised; /* before ICW1..ICW2 a chip requests nothing */
};

struct pic {
	const struct model_host *host;
	struct pic_chip chip[2]; /* master, slave */
	bool intr;
};

void pic_init(struct pic *pic, const struct model_host *host);

/* Registers; `port` is one of 20h, 21h, A0h, A1h, 4D0h, 4D1h. */
uint8_t pic_read(struct pic *pic, uint16_t port);
void pic_write(struct pic *pic, uint16_t port, uint8_t value);

void pic_set_line(struct pic *pic, unsigned irq, bool asserted);

/* The CPU's interrupt acknowledge cycles: the vector, which is IRQ 7's (or 15's) when the request has gone
 * meanwhile. */
uint8_t pic_acknowledge(struct pic *pic);

#endif
