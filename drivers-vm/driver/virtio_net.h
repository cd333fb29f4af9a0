/*
 * A virtio network card: virtio 1.2, 5.1. What the guest transmits goes to the switch with the guest's own
 * buffers; only the headers, by which decisions are made, are copied.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_NET_H
#define DRIVERS_VM_DRIVER_VIRTIO_NET_H

#include "drivers-vm/driver/net_switch.h"
#include "drivers-vm/driver/token_bucket.h"
#include "drivers-vm/driver/virtio_pci.h"

#define VIRTIO_NET_TYPE       1u
#define VIRTIO_NET_CLASS      0x020000u /* Ethernet controller */
#define VIRTIO_NET_QUEUE_SIZE 256u
#define VIRTIO_NET_PAIRS_MAX  4u

/* Feature bits: 5.1.3. */
#define VIRTIO_NET_F_CSUM       (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM (1ull << 1)
#define VIRTIO_NET_F_MTU        (1ull << 3)
#define VIRTIO_NET_F_MAC        (1ull << 5)
#define VIRTIO_NET_F_GUEST_TSO4 (1ull << 7)
#define VIRTIO_NET_F_GUEST_TSO6 (1ull << 8)
#define VIRTIO_NET_F_HOST_TSO4  (1ull << 11)
#define VIRTIO_NET_F_HOST_TSO6  (1ull << 12)
#define VIRTIO_NET_F_OFFLOADS \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_HOST_TSO4 | \
	 VIRTIO_NET_F_HOST_TSO6)
#define VIRTIO_NET_F_MRG_RXBUF (1ull << 15)
#define VIRTIO_NET_F_STATUS    (1ull << 16)
#define VIRTIO_NET_F_CTRL_VQ   (1ull << 17)
#define VIRTIO_NET_F_MQ        (1ull << 22)

/* Configuration: 5.1.4. */
#define VIRTIO_NET_MAC          0u
#define VIRTIO_NET_STATUS       6u
#define VIRTIO_NET_MAX_PAIRS    8u
#define VIRTIO_NET_MTU          10u
#define VIRTIO_NET_CONFIG_BYTES 12u
#define VIRTIO_NET_S_LINK_UP    1u

/* Before each frame: 5.1.6. */
struct virtio_net_header {
	uint8_t flags, gso_type;
	uint16_t header_bytes, gso_bytes, csum_start, csum_offset, buffers;
};
_Static_assert(sizeof(struct virtio_net_header) == 12, "5.1.6");
#define VIRTIO_NET_HEADER_BUFFERS   10u
#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1u

/* Control: 5.1.6.5. */
#define VIRTIO_NET_CTRL_MQ              4u
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET 0u
#define VIRTIO_NET_OK                   0u
#define VIRTIO_NET_ERR                  1u

#define VIRTIO_NET_SLICE       64u /* frames taken at one go */
#define VIRTIO_NET_BUFFERS     64u /* that one frame may be spread over */
#define VIRTIO_NET_HOLD_FRAMES 32u /* sent, that the driver is not told of at once; nor of ... */
#define VIRTIO_NET_HOLD_BYTES  32768u
#define VIRTIO_NET_HOLD_NS     500000u

struct virtio_net;

/* What a frame is about, for a driver VM that comes after this one: each change is one store, in step with the queue's. */
enum virtio_net_progress {
	VIRTIO_NET_FREE,
	VIRTIO_NET_TAKING, /* from `place` on, its buffer may have been taken */
	VIRTIO_NET_ACTIVE, /* it has been */
	VIRTIO_NET_GIVING, /* done; its buffer is back if the queue stands elsewhere than at `used` */
};

/* A frame of the guest's, until all who got it have done with it. */
struct virtio_net_frame {
	struct net_frame frame; /* first */
	struct virtio_net *nic;
	struct virtio_net_frame *next; /* while it is free */
	struct virtqueue_buffer buffer;
	uint16_t queue;
	uint8_t progress; /* enum virtio_net_progress */
	struct virtqueue_place place;
	struct virtqueue_used used;
	bool orphan; /* the device was reset meanwhile: the buffer is not ours any more */
	struct io_segment segment[NET_SEGMENTS_MAX];
	uint8_t head[NET_HEAD_BYTES];
};

struct virtio_net_config {
	struct net_switch *net; /* the port is added and removed by the caller */
	struct net_policy policy;
	unsigned pairs; /* 1 to VIRTIO_NET_PAIRS_MAX */
	uint16_t mtu;
	bool packed;
	bool plain;                /* offers neither checksums nor TCP segmentation */
	uint64_t bytes_per_second; /* that it may send; 0: no limit */
	/* How many frames may be under way, and room for them. */
	struct virtio_net_frame *frame;
	unsigned frames;
};

struct virtio_net {
	struct virtio_pci device; /* first: the transport's callbacks find the card by it */
	struct net_port port;
	struct net_switch *net;
	unsigned timer;
	unsigned pairs, active_pairs;
	uint16_t mtu;
	struct token_bucket bytes;
	struct virtio_net_frame *free, *all;
	unsigned frames, pending;             /* pending: somebody else has them */
	bool starved;                         /* buffers may wait for a free frame */
	bool transmitting;                    /* interrupts come at the end */
	unsigned untold_frames, untold_bytes; /* sent since the driver was told of any */
	uint64_t tell_ns;                     /* when it is to be told at the latest; 0: there are none */
	uint64_t timer_ns;                    /* when the timer fires; 0: it is not armed */
	uint32_t filled;                      /* receive queues, one bit each, that got frames since the last flush */
	uint8_t config[VIRTIO_NET_CONFIG_BYTES];
};

/*
 * Sets up the power-on state, ready for pci_host_plug(&nic->device.function) and net_switch_add(&nic->port).
 * `timer` is the id that the model arms for itself.
 */
void virtio_net_init(struct virtio_net *nic, const struct model_host *host, const struct virtio_net_config *config, unsigned timer);

/*
 * Goes on where the same card stood in a driver VM that is gone: first takes over what `old` says, in which anything may be found and
 * whose frames are at `old_frame`; then, once all of the machine has been taken over, gives back what was under way. Such frames may be
 * lost, as on any wire.
 */
void virtio_net_adopt(struct virtio_net *nic, const struct virtio_net *old, const struct virtio_net_frame *old_frame);
void virtio_net_resume(struct virtio_net *nic);

/* The timer has expired. */
void virtio_net_timer(struct virtio_net *nic);

/* Whether a real device still uses guest memory for this card. */
static inline bool virtio_net_is_busy(const struct virtio_net *nic)
{
	return nic->pending != 0;
}

#endif
