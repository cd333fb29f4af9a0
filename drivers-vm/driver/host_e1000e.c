/*
 * Bringing up an 82574 and serving it. Intel 82574 GbE Controller Family Datasheet 3.4: 4.6 Initialization, 7.4 Interrupts, 10.2
 * Registers. When the link goes while frames are to be sent, or the card does not send, it is reset: it has no other way to forget them.
 */
#include "drivers-vm/driver/host_e1000e.h"

#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>

enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	CTRL_EXT = 0x0018,
	ICR = 0x00C0,
	IMS = 0x00D0,
	IMC = 0x00D8,
	IVAR = 0x00E4,
	RCTL = 0x0100,
	TCTL = 0x0400,
	TIPG = 0x0410,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	TXDCTL = 0x3828,
	MTA = 0x5200,
	RAL0 = 0x5400,
	RAH0 = 0x5404,
	RFCTL = 0x5008,
	REGISTERS = 0x6000,
};
#define CTRL_FULL_DUPLEX (1u << 0)
#define CTRL_NO_MASTER   (1u << 2)
#define CTRL_LINK_UP     (1u << 6) /* the PHY may bring it up */
#define CTRL_RESET       (1u << 26)
#define STATUS_LINK      (1u << 1)
#define STATUS_MASTER    (1u << 19) /* an access to memory may be under way */
#define STATUS_SPEED(s)  ((s) >> 6 & 3)
#define CTRL_EXT_LOADED  (1u << 28)                                        /* a driver is there: its management engine keeps off */
#define CAUSES           (1u << 0 | 1u << 2 | 1u << 4 | 1u << 6 | 1u << 7) /* TXDW, LSC, RXDMT0, RXO, RXT0 */
#define CAUSES_MSIX      (1u << 20 | 1u << 22 | 1u << 24)                  /* RxQ0, TxQ0, other */
#define CAUSE_LINK       (1u << 2)
#define IVAR_ALL_TO_0    (1u << 3 | 1u << 11 | 1u << 19)
#define RCTL_ON          (1u << 1 | 1u << 3 | 1u << 4 | 1u << 15 | 1u << 26) /* EN, UPE, MPE, BAM; SECRC: without checksum */
#define TCTL_ON          (1u << 1 | 1u << 3 | 0xFu << 4 | 0x3Fu << 12)       /* EN, PSP: pad short ones */
#define TIPG_COPPER      (8u | 8u << 10 | 6u << 20)
#define TXDCTL_ON        (1u << 22 | 1u << 24) /* 10.2.6.9: bit 22 is to be set; thresholds in descriptors */
#define RAH_VALID        (1u << 31)

#define VENDOR_INTEL 0x8086u
#define RESET_NS     20000000ull   /* 4.6.3 asks for less */
#define MASTER_READS 200u          /* of a register: 100 us, which no access takes */
#define TIMEOUT_NS   5000000000ull /* without a frame sent, while some are to be */
#define CHECK_NS     1000000000ull
#define BURST        128u
#define GONE         UINT32_MAX

static uint32_t get(const struct e1000e *card, unsigned offset)
{
	return mmio_read32(card->registers, offset);
}

static void set(const struct e1000e *card, unsigned offset, uint32_t value)
{
	mmio_write32(card->registers, offset, value);
}

static bool matches(const struct host_pci *pci)
{
	uint32_t id = host_pci_read(pci, 0, 4);

	return id == (0x10D3u << 16 | VENDOR_INTEL) || id == (0x10F6u << 16 | VENDOR_INTEL);
}

static void give_up(struct e1000e *card, const char *why)
{
	host_pci_enable(card->device.pci, false, false);
	card->dead = true;
	card->deadline_tsc = card->check_tsc = card->reset_tsc = 0;
	host_device_log(card->device.pci, "given up: %s", why);
	e1000e_ring_release(card);
}

/* ---- Registers -------------------------------------------------------------------------------------------------------------------- */

static void look_at_link(struct e1000e *card)
{
	static const unsigned mbits[] = { 10, 100, 1000, 1000 };
	uint32_t status = get(card, STATUS);

	host_nic_set_link(&card->nic, card->device.pci, status & STATUS_LINK, mbits[STATUS_SPEED(status)]);
}

/* After a reset: everything that the card has to know. */
static void program(struct e1000e *card)
{
	uint64_t rings = host_pci_dma_address(card->device.pci, card->receive);
	uint64_t transmit = rings + E1000E_ENTRIES * sizeof(card->receive[0]);

	e1000e_ring_init(card);
	set(card, IMC, UINT32_MAX);
	get(card, ICR);
	set(card, CTRL_EXT, get(card, CTRL_EXT) | CTRL_EXT_LOADED);
	set(card, CTRL, (get(card, CTRL) & ~CTRL_NO_MASTER) | CTRL_FULL_DUPLEX | CTRL_LINK_UP);
	for (unsigned i = 0; i < 128; i++)
		set(card, MTA + 4 * i, 0);
	set(card, RFCTL, 0);
	set(card, IVAR, IVAR_ALL_TO_0);
	set(card, RDBAL, (uint32_t)rings);
	set(card, RDBAH, (uint32_t)(rings >> 32));
	set(card, RDLEN, E1000E_ENTRIES * sizeof(card->receive[0]));
	set(card, RDH, 0);
	set(card, RDT, 0);
	set(card, TDBAL, (uint32_t)transmit);
	set(card, TDBAH, (uint32_t)(transmit >> 32));
	set(card, TDLEN, E1000E_ENTRIES * sizeof(card->transmit[0]));
	set(card, TDH, 0);
	set(card, TDT, 0);
	set(card, TXDCTL, get(card, TXDCTL) | TXDCTL_ON);
	set(card, TIPG, TIPG_COPPER);
	set(card, TCTL, TCTL_ON);
	set(card, RCTL, RCTL_ON);
	mmio_publish();
	set(card, RDT, E1000E_ENTRIES - 1);
	set(card, IMS, CAUSES | CAUSES_MSIX);
}

/* 4.6.3: it must not begin another access to memory, and then forgets everything. */
static void begin_reset(const struct e1000e *card)
{
	set(card, IMC, UINT32_MAX);
	set(card, RCTL, 0);
	set(card, TCTL, 0);
	set(card, CTRL, get(card, CTRL) | CTRL_NO_MASTER);
	for (unsigned i = 0; i < MASTER_READS && get(card, STATUS) & STATUS_MASTER; i++)
		;
	set(card, CTRL, get(card, CTRL) | CTRL_RESET);
}

static bool is_reset(const struct e1000e *card)
{
	uint32_t ctrl = get(card, CTRL);

	return ctrl != GONE && !(ctrl & CTRL_RESET);
}

/* What it was to send goes back when it has forgotten it. */
static void reset(struct e1000e *card)
{
	begin_reset(card);
	card->deadline_tsc = 0;
	card->check_tsc = card->reset_tsc = service_tsc() + service_ns_to_tsc(RESET_NS);
}

static void finish_reset(struct e1000e *card)
{
	card->reset_tsc = card->check_tsc = 0;
	if (!is_reset(card)) {
		give_up(card, "it cannot be reset");
		return;
	}
	e1000e_ring_release(card);
	program(card);
	look_at_link(card);
}

/* ---- From the switch to the wire -------------------------------------------------------------------------------------------------- */

static struct e1000e *card_of(struct net_port *port)
{
	return (struct e1000e *)((char *)port - offsetof(struct e1000e, nic.port));
}

static void receive_from_switch(struct net_port *port, struct net_frame *frame)
{
	struct e1000e *card = card_of(port);
	bool idle = e1000e_ring_outstanding(card) == 0;

	if (card->dead || card->reset_tsc != 0 || !card->nic.link || !e1000e_ring_send(card, frame)) {
		port->counts.dropped++;
		return;
	}
	if (idle) {
		uint64_t now = service_tsc();
		card->deadline_tsc = now + service_ns_to_tsc(TIMEOUT_NS);
		card->check_tsc = now + service_ns_to_tsc(CHECK_NS);
	}
}

static void flush(struct net_port *port)
{
	struct e1000e *card = card_of(port);

	if (card->dead || card->reset_tsc != 0 || card->told == card->tail)
		return;
	card->told = card->tail;
	mmio_publish();
	set(card, TDT, card->tail);
}

/* ---- From the wire to the switch -------------------------------------------------------------------------------------------------- */

static void take_received(struct e1000e *card)
{
	unsigned frames;

	if (!e1000e_ring_receive(card, BURST, &frames)) {
		give_up(card, "it receives frames of no possible length");
		return;
	}
	if (frames == 0)
		return;
	mmio_publish();
	set(card, RDT, (card->next - 1) % E1000E_ENTRIES);
	if (card->nic.joined != NULL)
		net_switch_flush(card->nic.joined);
	if (frames == BURST)
		card->check_tsc = service_tsc(); /* the rest after the others' turn */
}

static void take_sent(struct e1000e *card)
{
	if (e1000e_ring_clean(card) == 0)
		return;
	bool idle = e1000e_ring_outstanding(card) == 0;
	card->deadline_tsc = idle ? 0 : service_tsc() + service_ns_to_tsc(TIMEOUT_NS);
}

/* ---- The driver ------------------------------------------------------------------------------------------------------------------- */

static void interrupt(struct host_device *device)
{
	struct e1000e *card = (struct e1000e *)device;

	if (card->dead || card->reset_tsc != 0)
		return;
	uint32_t causes = get(card, ICR);
	set(card, ICR, causes);
	if (causes == GONE && get(card, STATUS) == GONE) {
		give_up(card, "it is gone");
		return;
	}
	take_sent(card);
	take_received(card);
	if (card->dead || !(causes & CAUSE_LINK))
		return;
	look_at_link(card);
	if (!card->nic.link && e1000e_ring_outstanding(card) != 0)
		reset(card);
}

static uint64_t check(struct host_device *device, uint64_t now_tsc)
{
	struct e1000e *card = (struct e1000e *)device;

	if (card->check_tsc == 0 || now_tsc < card->check_tsc)
		return card->check_tsc;
	if (card->reset_tsc != 0) {
		finish_reset(card);
		return card->check_tsc;
	}
	card->check_tsc = 0;
	interrupt(device); /* one may have been lost */
	if (!card->dead && card->reset_tsc == 0 && card->deadline_tsc != 0 && now_tsc > card->deadline_tsc) {
		host_device_log(card->device.pci, "it has not sent a frame for 5 s: reset");
		reset(card);
	}
	if (card->check_tsc == 0 && !card->dead && e1000e_ring_outstanding(card) != 0)
		card->check_tsc = now_tsc + service_ns_to_tsc(CHECK_NS);
	return card->check_tsc;
}

static void poll(struct net_port *port)
{
	struct e1000e *card = card_of(port);

	if (!card->dead && card->reset_tsc == 0)
		take_sent(card);
	check(&card->device, service_tsc());
}

/* Two buffers a page, whose halves never cross one. */
static bool make_buffers(uint8_t *buffer[E1000E_ENTRIES])
{
	for (unsigned i = 0; i < E1000E_ENTRIES; i += 2) {
		buffer[i] = host_device_page();
		if (buffer[i] == NULL)
			return false;
		buffer[i + 1] = buffer[i] + E1000E_BUFFER_BYTES;
	}
	return true;
}

static bool make_rings(struct e1000e *card)
{
	uint8_t *page = host_device_page();

	if (page == NULL)
		return false;
	card->receive = (struct e1000e_receive *)page;
	card->transmit = (struct e1000e_transmit *)(page + E1000E_ENTRIES * sizeof(card->receive[0]));
	return make_buffers(card->received) && make_buffers(card->copy);
}

static bool take_mac(struct e1000e *card)
{
	uint32_t low = get(card, RAL0), high = get(card, RAH0);

	for (unsigned i = 0; i < NET_MAC_BYTES; i++)
		card->nic.mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
	return high & RAH_VALID && !(low & 1);
}

static const char *bring_up(struct e1000e *card, unsigned event)
{
	const struct host_pci *pci = card->device.pci;

	card->registers = pci->bar[0];
	if (card->registers == NULL || pci->bar_bytes[0] < REGISTERS)
		return "it has no registers";
	host_pci_enable(pci, true, false);
	begin_reset(card);
	for (uint64_t until = service_tsc() + service_ns_to_tsc(RESET_NS); service_tsc() < until;)
		__asm__ volatile("pause");
	if (!is_reset(card))
		return "it cannot be reset";
	if (!take_mac(card))
		return "it has no MAC address";
	if (!make_rings(card))
		return "no memory for its buffers";
	if (!host_pci_bind_irq(pci, 0, 0, event))
		return "its interrupt cannot be bound";
	host_pci_enable(pci, true, true);
	program(card);
	return NULL;
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	static const struct host_device_ops ops = { .interrupt = interrupt, .check = check };
	static const struct net_port_ops port_ops = { .receive = receive_from_switch, .flush = flush, .poll = poll };
	struct e1000e *card = host_device_state(pci, sizeof(*card));

	if (card == NULL)
		return NULL;
	card->device = (struct host_device){ &ops, pci };
	card->nic.port.ops = &port_ops;
	card->nic.port.can = NET_CAN_CSUM;
	const char *error = bring_up(card, event);
	if (error != NULL) {
		host_device_log(pci, "e1000e: %s", error);
		host_pci_enable(pci, false, false);
		free(card);
		return NULL;
	}
	look_at_link(card);
	host_nic_add(&card->nic, pci, "e1000e");
	return &card->device;
}

const struct host_driver host_e1000e_driver = { .name = "e1000e", .matches = matches, .start = start };
