/* See host_watchdog.h. Intel 6300ESB I/O Controller Hub Datasheet, 16 "Watchdog Timer (WDT) (D29:F4)". */
#include "drivers-vm/driver/host_watchdog.h"

#include "drivers-vm/driver/host_mmio.h"

#define ID_6300ESB 0x25AB8086u

/* Configuration space. */
#define CONFIG        0x60u
#define CONFIG_NO_INT 0x3u /* of the first stage; the reset output is on, the clock is 1 kHz */
#define LOCK          0x68u
#define LOCK_ENABLE   0x2u
/* Registers, at BAR 0. */
#define STAGE_1        0x0u /* in 1 / 512 of a second for both stages together */
#define STAGE_2        0x4u
#define RELOAD         0xCu
#define RELOAD_COUNTER (1u << 8)
#define RELOAD_FIRED   (1u << 9) /* cleared by writing it */
#define UNLOCK_1       0x80u
#define UNLOCK_2       0x86u
#define STAGE_SHIFT    9u

static struct host_device watchdog;
static uint32_t armed_seconds;
static bool fired;

/* The next write to a register counts. */
static void unlock(void)
{
	mmio_write16(watchdog.pci->bar[0], RELOAD, UNLOCK_1);
	mmio_write16(watchdog.pci->bar[0], RELOAD, UNLOCK_2);
}

static void write_reload(uint16_t value)
{
	unlock();
	mmio_write16(watchdog.pci->bar[0], RELOAD, value);
}

static void write_stage(unsigned offset, uint32_t value)
{
	unlock();
	mmio_write32(watchdog.pci->bar[0], offset, value);
}

void host_watchdog_set(uint32_t seconds)
{
	if (watchdog.pci == NULL || seconds > HOST_WATCHDOG_SECONDS_MAX)
		return;
	if (seconds != armed_seconds) {
		host_pci_write(watchdog.pci, LOCK, 1, 0);
		host_pci_write(watchdog.pci, CONFIG, 2, CONFIG_NO_INT);
		write_stage(STAGE_1, seconds << STAGE_SHIFT);
		write_stage(STAGE_2, seconds << STAGE_SHIFT);
	}
	if (seconds != 0)
		write_reload(RELOAD_COUNTER);
	if (seconds != armed_seconds && seconds != 0)
		host_pci_write(watchdog.pci, LOCK, 1, LOCK_ENABLE);
	armed_seconds = seconds;
}

enum host_watchdog_state host_watchdog_state(void)
{
	if (watchdog.pci == NULL)
		return HOST_WATCHDOG_NONE;
	return fired ? HOST_WATCHDOG_FIRED : HOST_WATCHDOG_READY;
}

static bool matches(const struct host_pci *pci)
{
	return host_pci_read(pci, 0, 4) == ID_6300ESB;
}

static void interrupt(struct host_device *device)
{
	(void)device;
}

static uint64_t check(struct host_device *device, uint64_t now_tsc)
{
	(void)device;
	(void)now_tsc;
	return 0;
}

/* One that a driver VM before this one has armed goes on: what it waits for is the control VM's word. */
static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	static const struct host_device_ops ops = { .interrupt = interrupt, .check = check };

	(void)event;
	if (watchdog.pci != NULL || pci->bar[0] == NULL || pci->bar_bytes[0] < 16) {
		host_device_log(pci, "the watchdog's registers are not there, or it is a second one");
		return NULL;
	}
	host_pci_enable(pci, true, false);
	watchdog = (struct host_device){ .ops = &ops, .pci = pci };
	armed_seconds = 0;
	fired = mmio_read16(pci->bar[0], RELOAD) & RELOAD_FIRED;
	write_reload(RELOAD_FIRED);
	return &watchdog;
}

const struct host_driver host_watchdog_driver = { .name = "6300esb watchdog", .matches = matches, .start = start };
