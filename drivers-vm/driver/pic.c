/* Both 8259As and their cascade. Time plays no part: each access recomputes INTR and reports only its
 * changes. */
#include "drivers-vm/driver/pic.h"

#include <string.h>

#define ICW1_IC4  0x01u
#define ICW1_SNGL 0x02u
#define ICW1_INIT 0x10u
#define ICW4_AEOI 0x02u
#define ICW4_SFNM 0x10u
#define OCW3      0x08u
#define OCW3_RR   0x02u
#define OCW3_RIS  0x01u
#define OCW3_POLL 0x04u
#define OCW3_ESMM 0x40u
#define OCW3_SMM  0x20u

#define ELCR_MASTER_WRITABLE 0xF8u /* IRQ 0, 1, 2 are edge for ever */
#define ELCR_SLAVE_WRITABLE  0xDEu /* and 8, 13 */

#define NO_LEVEL 8u

/* Distance from the highest priority: 0 is served first. */
static unsigned priority_of(const struct pic_chip *chip, unsigned level)
{
	return (level - chip->lowest - 1) & 7;
}

static unsigned highest_level(const struct pic_chip *chip, uint8_t set)
{
	unsigned i;

	for (i = 1; i <= 8; i++) {
		unsigned level = (chip->lowest + i) & 7;

		if (set >> level & 1)
			return level;
	}
	return NO_LEVEL;
}

/* The level this chip would ask the CPU to serve now, or NO_LEVEL. */
static unsigned chip_request(const struct pic *pic, const struct pic_chip *chip)
{
	unsigned level, serving;
	uint8_t in_service = chip->isr;

	if (!chip->initialised)
		return NO_LEVEL;
	level = highest_level(chip, chip->irr & ~chip->imr);
	if (level == NO_LEVEL)
		return NO_LEVEL;
	if (chip->special_mask)
		in_service &= ~chip->imr;
	/* Special fully nested mode: a slave in service may interrupt again: datasheet, "Special Fully Nested
	 * Mode". */
	if (chip == &pic->chip[0] && (chip->icw4 & ICW4_SFNM) && level == PIC_CASCADE_IRQ)
		in_service &= ~(1u << PIC_CASCADE_IRQ);
	serving = highest_level(chip, in_service);
	if (serving == NO_LEVEL || priority_of(chip, level) < priority_of(chip, serving))
		return level;
	/* In special mask mode every level but those in service is let through. */
	if (chip->special_mask && !(chip->isr >> level & 1))
		return level;
	return NO_LEVEL;
}

static void chip_set_line(struct pic_chip *chip, unsigned level, bool asserted)
{
	uint8_t bit = 1u << level;

	if (asserted) {
		if ((chip->elcr & bit) || !(chip->lines & bit))
			chip->irr |= bit;
		chip->lines |= bit;
	} else {
		/* A request that goes away before its acknowledge becomes the spurious level 7. */
		chip->irr &= ~bit;
		chip->lines &= ~bit;
	}
}

static void pic_update(struct pic *pic)
{
	bool intr;

	chip_set_line(&pic->chip[0], PIC_CASCADE_IRQ, chip_request(pic, &pic->chip[1]) != NO_LEVEL);
	intr = chip_request(pic, &pic->chip[0]) != NO_LEVEL;
	if (intr != pic->intr) {
		pic->intr = intr;
		if (pic->host->set_intr_line != NULL)
			pic->host->set_intr_line(pic->host->ctx, intr);
	}
}

void pic_set_line(struct pic *pic, unsigned irq, bool asserted)
{
	if (irq >= PIC_IRQS || irq == PIC_CASCADE_IRQ)
		return;
	chip_set_line(&pic->chip[irq / 8], irq % 8, asserted);
	pic_update(pic);
}

static void chip_acknowledge(struct pic_chip *chip, unsigned level)
{
	uint8_t bit = 1u << level;

	if (!(chip->elcr & bit))
		chip->irr &= ~bit;
	if (chip->icw4 & ICW4_AEOI) {
		if (chip->rotate_on_aeoi)
			chip->lowest = level;
	} else {
		chip->isr |= bit;
	}
}

uint8_t pic_acknowledge(struct pic *pic)
{
	struct pic_chip *master = &pic->chip[0], *slave = &pic->chip[1];
	unsigned level = chip_request(pic, master);
	uint8_t vector;

	if (level == NO_LEVEL)
		return master->base | 7; /* spurious: in-service stays clear, datasheet "Interrupt Sequence" */
	vector = master->base | level;
	if (level == PIC_CASCADE_IRQ) {
		unsigned inner = chip_request(pic, slave);

		if (inner != NO_LEVEL)
			chip_acknowledge(slave, inner);
		vector = slave->base | (inner == NO_LEVEL ? 7 : inner);
	}
	chip_acknowledge(master, level);
	pic_update(pic);
	return vector;
}

static void icw1_write(struct pic_chip *chip, uint8_t value)
{
	chip->irr = 0;
	chip->imr = 0;
	chip->isr = 0;
	chip->lowest = 7;
	chip->icw4 = 0;
	chip->special_mask = false;
	chip->read_isr = false;
	chip->poll = false;
	chip->rotate_on_aeoi = false;
	chip->initialised = false;
	chip->init_step = 2;
	chip->expect_icw4 = value & ICW1_IC4;
	chip->single = value & ICW1_SNGL;
	/* Edge sense restarts, levels that are high count at once. */
	chip->irr |= chip->lines & chip->elcr;
}

/* OCW2: bits 7..5 are R, SL, EOI: datasheet figure 8. */
static void ocw2_write(struct pic_chip *chip, uint8_t value)
{
	unsigned level = value & 7;
	unsigned serving;

	switch (value >> 5) {
	case 0: /* rotate in automatic EOI mode: clear, */
	case 4: /* and set */
		chip->rotate_on_aeoi = value >> 7;
		break;
	case 1: /* non-specific EOI, */
	case 5: /* with rotation */
		serving = highest_level(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
		if (serving == NO_LEVEL)
			break;
		chip->isr &= ~(1u << serving);
		if (value >> 7)
			chip->lowest = serving;
		break;
	case 3: /* specific EOI, */
	case 7: /* with rotation */
		chip->isr &= ~(1u << level);
		if (value >> 7)
			chip->lowest = level;
		break;
	case 6: /* set priority */
		chip->lowest = level;
		break;
	}
}

static void ocw3_write(struct pic_chip *chip, uint8_t value)
{
	chip->poll = value & OCW3_POLL;
	if (value & OCW3_RR)
		chip->read_isr = value & OCW3_RIS;
	if (value & OCW3_ESMM)
		chip->special_mask = value & OCW3_SMM;
}

static void data_write(struct pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->base = value & 0xF8;
		chip->init_step = !chip->single ? 3 : chip->expect_icw4 ? 4 : 0;
		break;
	case 3: /* the cascade is wired, not programmed */
		chip->init_step = chip->expect_icw4 ? 4 : 0;
		break;
	case 4:
		chip->icw4 = value;
		chip->init_step = 0;
		break;
	default:
		chip->imr = value;
		return;
	}
	chip->initialised = chip->init_step == 0;
}

static struct pic_chip *chip_at(struct pic *pic, uint16_t port)
{
	return &pic->chip[(port & 0x80) != 0];
}

void pic_write(struct pic *pic, uint16_t port, uint8_t value)
{
	struct pic_chip *chip = chip_at(pic, port);

	if ((port & 0xFFFE) == PIC_ELCR_PORT) {
		chip = &pic->chip[port & 1];
		chip->elcr = value & chip->elcr_writable;
		chip->irr = (chip->irr & ~chip->elcr) | (chip->lines & chip->elcr);
	} else if (port & 1) {
		data_write(chip, value);
	} else if (value & ICW1_INIT) {
		icw1_write(chip, value);
	} else if (value & OCW3) {
		ocw3_write(chip, value);
	} else {
		ocw2_write(chip, value);
	}
	pic_update(pic);
}

/* A poll answers like an acknowledge: bit 7 says whether there was a request, bits 2..0 which. */
static uint8_t chip_poll(struct pic *pic, struct pic_chip *chip)
{
	unsigned level = chip_request(pic, chip);

	chip->poll = false;
	if (level == NO_LEVEL)
		return 0;
	chip_acknowledge(chip, level);
	pic_update(pic);
	return 0x80 | level;
}

uint8_t pic_read(struct pic *pic, uint16_t port)
{
	struct pic_chip *chip = chip_at(pic, port);

	if ((port & 0xFFFE) == PIC_ELCR_PORT)
		return pic->chip[port & 1].elcr;
	if (chip->poll)
		return chip_poll(pic, chip);
	if (port & 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

void pic_init(struct pic *pic, const struct model_host *host)
{
	memset(pic, 0, sizeof(*pic));
	pic->host = host;
	pic->chip[0].lowest = pic->chip[1].lowest = 7;
	pic->chip[0].elcr_writable = ELCR_MASTER_WRITABLE;
	pic->chip[1].elcr_writable = ELCR_SLAVE_WRITABLE;
}
