/*
 * Bringing up a virtio network card: features, pairs of queues, each with its MSI-X vector, the control queue, buffers. virtio 1.2, 5.1.5
 * Device Initialization.
 */
#include "drivers-vm/driver/host_virtio_net.h"

#include "drivers-vm/driver/host_virtio_drivers.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>

#define CONTROL_ENTRIES 2u
#define CONTROL_NS      1000000000ull

static bool matches(const struct host_pci *pci)
{
	return host_virtio_matches(pci, VIRTIO_NET_TYPE);
}

static bool make_buffers(struct host_virtio_net *card, struct host_virtio_net_pair *pair)
{
	for (unsigned i = 0; i < pair->receive.entries; i++) {
		if ((pair->received[i] = host_device_page()) == NULL)
			return false;
		host_virtio_net_put_buffer(card, pair, i);
	}
	for (unsigned i = 0; i < pair->transmit.entries; i++)
		if ((pair->sent[i] = host_device_page()) == NULL)
			return false;
	return true;
}

/* Pair `n`, with interrupt `n`. False: it cannot be, and unless it is the first one the card does without. */
static bool make_pair(struct host_virtio_net *card, unsigned n, unsigned event)
{
	const struct host_pci *pci = card->device.pci;
	struct host_virtio_net_pair *pair = &card->pair[n];

	if (!host_pci_bind_irq(pci, n, 0, event)) {
		if (n == 0)
			host_device_log(pci, "virtio: its interrupt cannot be bound");
		return false;
	}
	if (!host_virtio_make_queue(&card->virtio, &pair->receive, (uint16_t)(2 * n), HOST_VIRTIO_NET_ENTRIES, (uint16_t)n) ||
	    !host_virtio_make_queue(&card->virtio, &pair->transmit, (uint16_t)(2 * n + 1), HOST_VIRTIO_NET_ENTRIES, (uint16_t)n))
		return false;
	if (!make_buffers(card, pair)) {
		host_device_log(pci, "virtio: no memory for its buffers");
		return false;
	}
	return true;
}

/* 5.1.6.5.6 Device Configuration: the device is told of the pairs. Waits for its answer, while the driver VM starts. */
static bool use_pairs(struct host_virtio_net *card, struct host_virtqueue *control, uint8_t *page, unsigned pairs)
{
	uint64_t address = host_pci_dma_address(card->device.pci, page), until = service_tsc() + service_ns_to_tsc(CONTROL_NS);
	struct host_virtq_descriptor *table = (struct host_virtq_descriptor *)(page + 64);
	uint32_t bytes;
	unsigned id;

	page[0] = VIRTIO_NET_CTRL_MQ;
	page[1] = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	page[2] = (uint8_t)pairs;
	page[4] = VIRTIO_NET_ERR;
	table[0] = (struct host_virtq_descriptor){ address, 4, HOST_VIRTQ_NEXT, 1 };
	table[1] = (struct host_virtq_descriptor){ address + 4, 1, HOST_VIRTQ_WRITE, 0 };
	host_virtqueue_put(control, 0, address + 64, 2 * sizeof(*table), HOST_VIRTQ_INDIRECT);
	host_virtqueue_notify(control);
	while (host_virtqueue_take(control, &id, &bytes) != HOST_VIRTQ_ONE) {
		if (service_tsc() > until)
			return false;
		__asm__ volatile("pause");
	}
	return *(volatile uint8_t *)(page + 4) == VIRTIO_NET_OK;
}

/* Queues are made before the device starts, and more than one pair is used once it has agreed. */
static bool make_queues(struct host_virtio_net *card, unsigned event)
{
	struct host_virtio *v = &card->virtio;
	unsigned most = v->features & VIRTIO_NET_F_MQ && v->features & VIRTIO_NET_F_CTRL_VQ
	                        ? (unsigned)host_virtio_config(v, VIRTIO_NET_MAX_PAIRS, 2)
	                        : 1;
	struct host_virtqueue control;
	uint8_t *page = NULL;
	unsigned made = 0;

	while (made < HOST_VIRTIO_NET_PAIRS && (made < most || made == 0) && make_pair(card, made, event))
		made++;
	card->pairs = made < 1 ? 0 : 1;
	if (made > 1 && (page = host_device_page()) == NULL)
		host_device_log(card->device.pci, "virtio: one pair of queues: no memory to ask for more");
	if (page != NULL && !host_virtio_make_queue(v, &control, (uint16_t)(2 * most), CONTROL_ENTRIES, HOST_VIRTIO_NO_VECTOR))
		page = NULL;
	if (made == 0)
		return false;
	host_virtio_watch_config(v, 0); /* if it cannot, the link is looked at while there is traffic */
	host_virtio_start(v);
	if (page != NULL && use_pairs(card, &control, page, made))
		card->pairs = made;
	for (unsigned i = 0; i < card->pairs; i++)
		host_virtqueue_notify(&card->pair[i].receive);
	return true;
}

static bool bring_up(struct host_virtio_net *card, const struct host_pci *pci, unsigned event)
{
	struct host_virtio *v = &card->virtio;

	if (!host_virtio_open(v, pci,
	                      VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_MRG_RXBUF |
	                              VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ,
	                      HOST_VIRTIO_F_INDIRECT | VIRTIO_NET_F_MAC))
		return false;
	for (unsigned i = 0; i < NET_MAC_BYTES; i++)
		card->nic.mac[i] = (uint8_t)host_virtio_config(v, VIRTIO_NET_MAC + i, 1);
	card->nic.port.can = (v->features & VIRTIO_NET_F_CSUM ? NET_CAN_CSUM : 0) |
	                     (v->features & VIRTIO_NET_F_HOST_TSO4 ? NET_CAN_TCP4 : 0) |
	                     (v->features & VIRTIO_NET_F_HOST_TSO6 ? NET_CAN_TCP6 : 0);
	if (!make_queues(card, event))
		return false;
	host_virtio_net_look_at_link(card);
	return true;
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	struct host_virtio_net *card = host_device_state(pci, sizeof(*card));

	if (card == NULL)
		return NULL;
	card->device = (struct host_device){ &host_virtio_net_ops, pci };
	card->nic.port.ops = &host_virtio_net_port_ops;
	if (!bring_up(card, pci, event)) {
		host_pci_enable(pci, false, false);
		free(card);
		return NULL;
	}
	host_nic_add(&card->nic, pci, "virtio");
	if (card->pairs > 1)
		host_device_log(pci, "virtio: %u pairs of queues", card->pairs);
	return &card->device;
}

const struct host_driver host_virtio_net_driver = { .name = "virtio-net", .matches = matches, .start = start };
