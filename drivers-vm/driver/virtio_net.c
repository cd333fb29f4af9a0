/* The card itself: its queues, configuration and reset. Frames are sent in virtio_net_send.c and received in virtio_net_receive.c. */
#include "drivers-vm/driver/virtio_net_private.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_net, device) == 0, "a device is found in its card");

static struct virtio_net *nic_of(struct virtio_pci *device)
{
	return (struct virtio_net *)device;
}

/* 5.1.2: behind all pairs if the driver knows of more than one. */
static unsigned control_queue(const struct virtio_net *nic)
{
	return virtio_net_has(nic, VIRTIO_NET_F_MQ) ? 2 * nic->pairs : 2;
}

/* ---- Control ---- */

static uint8_t command(struct virtio_net *nic, const struct virtqueue_chain *chain)
{
	uint8_t bytes[4];
	unsigned pairs;

	if (virtqueue_read(chain, 0, bytes, sizeof(bytes)) != sizeof(bytes) || bytes[0] != VIRTIO_NET_CTRL_MQ ||
	    bytes[1] != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return VIRTIO_NET_ERR;
	pairs = bytes[2] | bytes[3] << 8;
	if (pairs == 0 || pairs > nic->pairs)
		return VIRTIO_NET_ERR;
	nic->active_pairs = pairs;
	return VIRTIO_NET_OK;
}

static void control(struct virtio_net *nic, unsigned queue)
{
	static struct io_segment segment[VIRTIO_NET_QUEUE_SIZE];
	struct virtqueue_chain chain = { .segment = segment };

	for (unsigned i = 0; i < VIRTIO_NET_SLICE && virtio_pci_take(&nic->device, queue, &chain); i++) {
		uint8_t answer = command(nic, &chain);
		virtqueue_push(&nic->device.queue[queue], chain.buffer, (uint32_t)virtqueue_write(&chain, 0, &answer, sizeof(answer)));
	}
	virtio_pci_signal(&nic->device, queue);
}

/* ---- The device ---- */

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	struct virtio_net *nic = nic_of(device);

	nic->port.can = virtio_net_offloads(nic);
	if (queue == control_queue(nic))
		control(nic, queue);
	else if (queue % 2 == 1)
		virtio_net_transmit(nic, queue);
	else /* a frame that finds no buffer is dropped: nobody waits for one */
		virtqueue_want_kicks(&device->queue[queue], false);
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	return virtio_config_get(nic_of(device)->config, offset, size);
}

static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value; /* the address can be read only: 5.1.4 */
}

static bool busy(struct virtio_pci *device)
{
	return virtio_net_is_busy(nic_of(device));
}

static void reset(struct virtio_pci *device)
{
	struct virtio_net *nic = nic_of(device);

	for (unsigned i = 0; i < nic->frames; i++)
		nic->all[i].orphan = true;
	nic->starved = false;
	nic->active_pairs = 1;
	nic->filled = 0;
	nic->port.can = 0;
	nic->untold_frames = nic->untold_bytes = 0;
	nic->tell_ns = nic->timer_ns = 0;
	device->host->timer_arm(device->host->ctx, nic->timer, 0);
}

static void frames_init(struct virtio_net *nic, const struct virtio_net_config *config)
{
	nic->all = config->frame;
	nic->frames = config->frames;
	nic->free = NULL;
	for (unsigned i = 0; i < nic->frames; i++) {
		memset(&nic->all[i], 0, sizeof(nic->all[i]));
		nic->all[i].nic = nic;
		virtio_net_free(&nic->all[i]);
	}
}

static void config_fill(struct virtio_net *nic)
{
	memset(nic->config, 0, sizeof(nic->config));
	memcpy(nic->config + VIRTIO_NET_MAC, nic->port.policy.mac, NET_MAC_BYTES);
	nic->config[VIRTIO_NET_STATUS] = VIRTIO_NET_S_LINK_UP;
	nic->config[VIRTIO_NET_MAX_PAIRS] = (uint8_t)nic->pairs;
	nic->config[VIRTIO_NET_MTU] = (uint8_t)nic->mtu;
	nic->config[VIRTIO_NET_MTU + 1] = (uint8_t)(nic->mtu >> 8);
}

void virtio_net_init(struct virtio_net *nic, const struct model_host *host, const struct virtio_net_config *config, unsigned timer)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
		.busy = busy,
	};
	static const struct net_port_ops port_ops = { .receive = virtio_net_receive, .flush = virtio_net_flush };
	const struct virtio_identity identity = {
		.type = VIRTIO_NET_TYPE,
		.class_code = VIRTIO_NET_CLASS,
		.features = VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS |
		            (config->plain ? 0 : VIRTIO_NET_F_OFFLOADS) | (config->pairs > 1 ? VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ : 0),
		.config_bytes = VIRTIO_NET_CONFIG_BYTES,
		.queues = config->pairs > 1 ? 2 * config->pairs + 1 : 2,
		.queue_size = VIRTIO_NET_QUEUE_SIZE,
		.packed = config->packed,
	};

	assert(config->pairs >= 1 && config->pairs <= VIRTIO_NET_PAIRS_MAX && config->frames != 0);
	memset(&nic->port, 0, sizeof(nic->port));
	nic->port.ops = &port_ops;
	nic->port.policy = config->policy;
	nic->net = config->net;
	nic->timer = timer;
	nic->pairs = config->pairs;
	nic->mtu = config->mtu;
	nic->pending = 0;
	nic->transmitting = false;
	token_bucket_init(&nic->bytes, config->bytes_per_second, model_now(host));
	frames_init(nic, config);
	virtio_pci_init(&nic->device, host, &identity, &ops);
	config_fill(nic);
}
