/*
 * A port of an AHCI controller: starting and stopping it, resetting its link, and getting going again after an error. Nothing here
 * waits: `check` comes back. AHCI 1.3.1: 3.3 Port Registers, 6.2.2 Software Error Recovery, 10.1.2 System Software Specific
 * Initialization, 10.3 Software Manipulation of Port DMA Engines, 10.4.2 Port Reset.
 */
#include "drivers-vm/driver/host_ahci.h"
#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#define IS_CONNECT   (1u << 6)  /* PCS: a device has appeared */
#define IS_PHY       (1u << 22) /* PRCS: the link came or went */
#define IS_OVERFLOW  (1u << 24)
#define IS_INTERFACE (1u << 27)            /* IFS */
#define IS_BUS       (1u << 28 | 1u << 29) /* HBDS, HBFS */
#define IS_TASK_FILE (1u << 30)
#define IS_ERRORS    (IS_PHY | IS_OVERFLOW | IS_INTERFACE | IS_BUS | IS_TASK_FILE)
#define IE_DONE      (1u << 0 | 1u << 1 | 1u << 2 | 1u << 3) /* DHRS, PSS, DSS, SDBS: a command or some of them are over */
#define SSTS_DEVICE  0xFu
#define SSTS_NOTHING 0u
#define SSTS_UP      3u
#define SCTL_RESET   0x301u /* no power saving of the link; COMRESET */
#define SCTL_RUN     0x300u
#define GONE         UINT32_MAX          /* what the registers of a device that does not answer read as */
#define TFD_ERROR    (1u << 0 | 1u << 5) /* ERR, DF: valid while BSY is clear */
#define TFD_DRQ      (1u << 3)
#define TFD_BUSY     (1u << 7)
#define RECEIVED_AT  1024u /* in the port's page: commands are before it */

#define STOP_NS  500000000ull /* 10.3.1, 10.4.2 */
#define RESET_NS 2000000ull   /* at least 1 ms: 10.4.2 */
#define COME_NS  10000000000ull
#define EMPTY_NS 50000000ull /* whoever has not answered by then is not there: Serial ATA allows 10 ms */
#define STEP_NS  1000000ull
#define LOG_NS   1000000000ull
#define LATE_MAX 2u

static uint32_t get(const struct ahci_port *port, unsigned offset)
{
	return mmio_read32(port->registers, offset);
}

static void set(const struct ahci_port *port, unsigned offset, uint32_t value)
{
	mmio_write32(port->registers, offset, value);
}

static void enter(struct ahci_port *port, enum ahci_state state, uint64_t now_tsc, uint64_t ns)
{
	port->state = state;
	port->until_tsc = now_tsc + service_ns_to_tsc(ns);
}

/* ---- Reset ------------------------------------------------------------------------------------------------------------------------ */

static void begin_reset(struct ahci_port *port)
{
	set(port, AHCI_PX_IE, 0);
	set(port, AHCI_PX_CMD, get(port, AHCI_PX_CMD) & ~AHCI_CMD_START);
	enter(port, AHCI_STOPPING, service_tsc(), STOP_NS);
}

bool ahci_port_open(struct ahci_port *port)
{
	uint64_t address;

	port->page = host_device_page();
	if (port->page == NULL || (address = host_pci_dma_address(port->blk.device.pci, port->page)) == 0)
		return false;
	mmio_write64(port->registers, AHCI_PX_CLB, address);
	mmio_write64(port->registers, AHCI_PX_FB, address + RECEIVED_AT);
	set(port, AHCI_PX_CMD, get(port, AHCI_PX_CMD) | AHCI_CMD_SPIN_UP | AHCI_CMD_POWER | AHCI_CMD_FIS_RECEIVE);
	begin_reset(port);
	return true;
}

/* The disk has sent its first frame. What the reset itself left in the registers is no error. */
static bool has_come(const struct ahci_port *port)
{
	if ((get(port, AHCI_PX_SSTS) & SSTS_DEVICE) != SSTS_UP)
		return false;
	set(port, AHCI_PX_SERR, UINT32_MAX); /* while it says that a device appeared, the task file is not brought up to date */
	if (get(port, AHCI_PX_TFD) & (TFD_BUSY | TFD_DRQ))
		return false;
	set(port, AHCI_PX_IS, UINT32_MAX);
	return true;
}

static bool is_empty(const struct ahci_port *port, uint64_t now_tsc)
{
	uint64_t rest = service_ns_to_tsc(COME_NS - EMPTY_NS);

	return port->blk.disk.device.sectors == 0 && now_tsc + rest >= port->until_tsc &&
	       (get(port, AHCI_PX_SSTS) & SSTS_DEVICE) == SSTS_NOTHING;
}

bool ahci_port_step(struct ahci_port *port, uint64_t now_tsc, const char **why)
{
	bool over = now_tsc >= port->until_tsc;

	switch (port->state) {
	case AHCI_STOPPING:
		*why = "its port does not stop";
		if (get(port, AHCI_PX_CMD) & AHCI_CMD_RUNNING)
			return !over;
		set(port, AHCI_PX_SCTL, SCTL_RESET);
		enter(port, AHCI_RESETTING, now_tsc, RESET_NS);
		return true;
	case AHCI_RESETTING:
		if (!over)
			return true;
		set(port, AHCI_PX_SCTL, SCTL_RUN);
		enter(port, AHCI_COMING, now_tsc, COME_NS);
		return true;
	case AHCI_COMING:
		*why = "it does not come back from a reset of its link";
		if (has_come(port)) {
			port->state = AHCI_READY;
			return true;
		}
		return !over && !is_empty(port, now_tsc);
	default:
		return true;
	}
}

void ahci_port_run(struct ahci_port *port)
{
	set(port, AHCI_PX_CMD, get(port, AHCI_PX_CMD) | AHCI_CMD_START);
	set(port, AHCI_PX_IE, IE_DONE | IS_ERRORS | IS_CONNECT);
	port->state = AHCI_RUNNING;
	ahci_put_again(port);
}

bool ahci_port_has_error(const struct ahci_port *port)
{
	uint32_t status = get(port, AHCI_PX_TFD);

	return !(status & TFD_BUSY) && status & TFD_ERROR;
}

bool ahci_port_close(struct ahci_port *port)
{
	port->state = AHCI_STOPPED;
	port->busy = port->out = port->put = port->again = port->finished = port->failed = 0;
	if (port->controller->dead)
		return true;
	set(port, AHCI_PX_IE, 0);
	set(port, AHCI_PX_CMD, get(port, AHCI_PX_CMD) & ~AHCI_CMD_START);
	if (get(port, AHCI_PX_CMD) & AHCI_CMD_RUNNING)
		return false;
	set(port, AHCI_PX_CMD, get(port, AHCI_PX_CMD) & ~AHCI_CMD_FIS_RECEIVE);
	return true;
}

/* ---- Errors ----------------------------------------------------------------------------------------------------------------------- */

void ahci_port_recover(struct ahci_port *port, uint32_t guilty, const char *why)
{
	uint64_t now = service_tsc();

	/* A guest can read a bad sector again and again. */
	if (port->logged_tsc == 0 || now - port->logged_tsc > service_ns_to_tsc(LOG_NS)) {
		host_device_log(port->blk.device.pci, "AHCI: port %u: %s (task file 0x%x, link 0x%x): reset", port->blk.disk.port, why,
		                get(port, AHCI_PX_TFD), get(port, AHCI_PX_SERR));
		port->logged_tsc = now;
	}
	guilty &= port->out;
	port->failed |= guilty & port->retried;
	port->again |= port->out & ~(guilty & port->retried);
	port->retried |= guilty;
	port->out = port->put = 0;
	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		if (port->again >> i & 1)
			port->blk.command[i].deadline_tsc = UINT64_MAX; /* set anew when its turn has come */
	begin_reset(port);
}

/* Whether it was `out` for too long; if so it is done something about. */
static bool is_late(struct ahci_port *port, uint64_t now_tsc)
{
	uint32_t late = 0;

	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		if (port->out >> i & 1 && now_tsc >= port->blk.command[i].deadline_tsc)
			late |= 1u << i;
	if (late == 0)
		return false;
	if (++port->late == LATE_MAX)
		host_blk_give_up(&port->blk, "commands take longer than 10 s");
	else
		ahci_port_recover(port, port->out, "a command takes longer than 10 s");
	return true;
}

static void look(struct ahci_port *port)
{
	uint32_t what = get(port, AHCI_PX_IS);

	set(port, AHCI_PX_IS, what);
	if (port->state != AHCI_RUNNING)
		return;
	if (what == GONE) {
		ahci_give_up(port->controller, "it is gone");
	} else if (what & IS_CONNECT) {
		host_blk_give_up(&port->blk, "its disk was unplugged, or lost its power"); /* another one may be there now */
	} else {
		ahci_collect(port);
		if (what & IS_ERRORS && port->state == AHCI_RUNNING)
			ahci_port_recover(port, port->out, "an error");
	}
}

static void port_interrupt(struct host_device *device)
{
	struct ahci_port *port = (struct ahci_port *)device;

	look(port);
	host_blk_interrupt(device);
}

/* As far as it gets without waiting. */
static void step(struct ahci_port *port, uint64_t now_tsc)
{
	enum ahci_state before;
	const char *why = NULL;

	do {
		before = port->state;
		if (!ahci_port_step(port, now_tsc, &why)) {
			host_blk_give_up(&port->blk, why);
			return;
		}
	} while (port->state != before);
	if (port->state == AHCI_READY) {
		ahci_port_run(port);
		host_blk_put_waiting(&port->blk);
	}
}

static uint64_t port_check(struct host_device *device, uint64_t now_tsc)
{
	struct ahci_port *port = (struct ahci_port *)device;
	struct host_blk *blk = &port->blk;

	if (port->state == AHCI_RUNNING && blk->check_tsc != 0 && now_tsc >= blk->check_tsc) {
		port_interrupt(device); /* one may have been lost */
		if (port->state != AHCI_RUNNING || !is_late(port, now_tsc))
			host_blk_check(device, now_tsc);
	}
	if (port->state != AHCI_RUNNING && port->state != AHCI_STOPPED)
		step(port, now_tsc);
	if (blk->dead)
		return 0;
	return port->state == AHCI_RUNNING ? blk->check_tsc : now_tsc + service_ns_to_tsc(STEP_NS);
}

const struct host_device_ops ahci_port_ops = { .interrupt = port_interrupt, .check = port_check };
