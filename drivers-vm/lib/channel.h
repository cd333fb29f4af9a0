/*
 * How the control VM and the driver VM talk: one page of shared memory with a ring of messages each way, and an event each way as
 * a doorbell. The receiver copies a message before it looks at it; the control VM trusts nothing that comes from the driver VM.
 */
#ifndef DRIVERS_VM_LIB_CHANNEL_H
#define DRIVERS_VM_LIB_CHANNEL_H

#include "drivers-vm/lib/vm_record.h"

#include <stdbool.h>
#include <stdint.h>

/* The driver VM's guest-physical addresses. */
#define CHANNEL_GPA         0x80010000ull
#define CHANNEL_LOG_GPA     0x80100000ull /* the kernel's log ring, read-only */
#define CHANNEL_PORT_GPA    0x80200000ull /* of the control VM's card and disk: port_area.h */
#define CHANNEL_PORT_BYTES  0x60000ull
#define CHANNEL_STATE_BYTES 0x400000ull
#define CHANNEL_CONFIG_GPA  0xA0000000ull /* configuration space of the host's devices, a page each */
#define CHANNEL_BAR_GPA     0xB0000000ull /* and their memory BARs */
#define CHANNEL_BAR_LIMIT   0xF0000000ull
#define CHANNEL_SLOT_GPA    0x100000000ull /* what belongs to a slot beside RAM: see channel_trap_page and its neighbours */
#define CHANNEL_SLOT_STRIDE 0x800000ull
#define CHANNEL_RAM_GPA     0x200000000ull /* guests' RAM and RAM disks from here up */

#define CHANNEL_NAT_BYTES 0x200000ull /* for what is to outlive the driver VM of an uplink by translated addresses */

#define CHANNEL_SLOTS   512u
#define CHANNEL_LINKS   2048u /* numbers of channels between guests, from 1 */
#define CHANNEL_DEVICES 64u
#define CHANNEL_BARS    6u

/* Event bits of the driver VM's vCPU 0. */
#define CHANNEL_EVENT_COMMAND  0u
#define CHANNEL_EVENT_SERIAL   1u /* the host's serial interrupt */
#define CHANNEL_EVENT_LOG      2u
#define CHANNEL_EVENT_TIMER    3u  /* another vCPU armed a timer */
#define CHANNEL_EVENT_BEAT     4u  /* of every other vCPU */
#define CHANNEL_EVENT_PORT     5u  /* the control VM has filled a queue of its port's */
#define CHANNEL_EVENT_DOORBELL 64u /* + slot % CHANNEL_DOORBELLS: a virtqueue of one of these guests has buffers */
#define CHANNEL_DOORBELLS      64u

enum channel_kind {
	CHANNEL_NONE,
	/* control -> driver */
	CHANNEL_SETUP,          /* once: what the driver VM has */
	CHANNEL_DISK,           /* a disk of the machine that the next ATTACH of the slot makes; in their order */
	CHANNEL_NIC,            /* likewise a network card */
	CHANNEL_LINK,           /* likewise one end of a channel between two guests */
	CHANNEL_ATTACH,         /* a guest's machine: make its devices */
	CHANNEL_DETACH,         /* forget it; its memory goes when the answer is there */
	CHANNEL_BUTTON,         /* its power button is pressed */
	CHANNEL_GUEST_WATCHDOG, /* it stood still: its watchdog is touched in its stead */
	CHANNEL_VCPUS,          /* request.value: its vCPUs that are there, bit n is vCPU n; value2: of them those that shall go */
	CHANNEL_DEVICE,         /* a device of the host's that is the driver VM's now */
	CHANNEL_UPLINK,         /* one of these, a network card, joins the switch */
	CHANNEL_PORT_AVOID,     /* a disk that a guest can write as a whole: nothing of the control VM's is on it */
	CHANNEL_PORT,           /* once: the control VM's card and disk; answered by PORT_READY */
	CHANNEL_PING,           /* answer when all before is done */
	CHANNEL_BALLOON,        /* request.value: what its balloon is to hold, in pages of 4 KiB */
	CHANNEL_WATCHDOG, /* `value`: seconds after which the machine is reset, unless this comes again; 0: never. `value2`: say whether there is one */
	CHANNEL_FLUSH, /* answer once all log lines and console bytes so far are on the wire */
	/* driver -> control: the first seven answer the command of the same slot */
	CHANNEL_READY, /* set up; `value` is the wall clock: ns since 1970 at host TSC 0 */
	CHANNEL_ATTACHED,
	CHANNEL_REFUSED, /* instead of ATTACHED: the machine cannot be made; the log says why */
	CHANNEL_DETACHED,
	CHANNEL_PONG,
	CHANNEL_FLUSHED,
	CHANNEL_PORT_READY,
	CHANNEL_REQUEST, /* the guest wants `value` of enum channel_request */
};

enum channel_request {
	CHANNEL_REQUEST_POWER_OFF,
	CHANNEL_REQUEST_RESET,
	CHANNEL_REQUEST_DEBUG_EXIT,     /* value2: the value written */
	CHANNEL_REQUEST_WATCHDOG,       /* value2: there is one that can be set; 2: which has reset the machine last */
	CHANNEL_REQUEST_RESTART,        /* debug_crash_driver: a fresh driver VM */
	CHANNEL_REQUEST_EJECT,          /* value2: the vCPU that the guest has let go of */
	CHANNEL_REQUEST_GUEST_WATCHDOG, /* the guest has not touched its watchdog in time */
	CHANNEL_REQUEST_CONTROL,        /* debug_crash as well: the control VM ends; value2: enum channel_control_end */
};

enum channel_control_end {
	CHANNEL_CONTROL_CRASH,
	CHANNEL_CONTROL_HANG,
	CHANNEL_CONTROL_STRIKE, /* a crash after whatever instruction is executed then, some time later */
	CHANNEL_CONTROL_WAIT,   /* it waits for ever */
};

#define CHANNEL_CONSOLE_VIRTIO 1u

/* What CHANNEL_DISK shows of the medium: all, or the GPT partition of that number, label or GUID. */
enum channel_part {
	CHANNEL_PART_WHOLE,
	CHANNEL_PART_NUMBER,
	CHANNEL_PART_LABEL,
	CHANNEL_PART_UUID,
};

#define CHANNEL_VM_PACKED   1u /* console, entropy device and balloon offer packed rings */
#define CHANNEL_VM_RNG      2u
#define CHANNEL_VM_BALLOON  4u
#define CHANNEL_VM_WATCHDOG 16u
#define CHANNEL_VM_RESUME   8u /* the machine goes on where it stood: see CHANNEL_STATE_GPA */

#define CHANNEL_NIC_PACKED 1u
#define CHANNEL_NIC_TRUNK  2u
#define CHANNEL_NIC_SPOOF  4u
#define CHANNEL_NIC_PLAIN  8u  /* without offloads */
#define CHANNEL_NIC_NAT    16u /* an uplink by translated addresses */
#define CHANNEL_NIC_IPS    3u  /* of each kind */

#define CHANNEL_DEVICE_SAME_ADDRESSES 1u /* HC_DEVICE_DMA_ADDRESS changes nothing: there is an IOMMU */

#define CHANNEL_PORT_CARD     1u /* there is to be one, */
#define CHANNEL_PORT_OWN_CARD 2u /* on a card of the machine's that is no uplink, which no guest shares */
#define CHANNEL_PORT_AGAIN    4u /* the disks are those that the first driver VM found, and no others */
#define CHANNEL_PORT_PEER     8u /* to a driver VM that has a port: there is another control VM, which begins with empty queues */
#define CHANNEL_PORT_FOUND    6u

#define CHANNEL_PORT_LABEL "hilum-state" /* of the GPT partition */

struct channel_port_disk {
	uint32_t rid, port; /* of the disk, and its controller's port; rid 0: none */
};

/* Where the control VM's partition is; `sectors` 0: nowhere, or not known yet. */
struct channel_port_place {
	struct channel_port_disk disk;
	uint64_t first, sectors;
};

#define CHANNEL_DISK_READ_ONLY 1u
#define CHANNEL_DISK_PACKED    2u /* offer packed rings */

struct channel_message {
	uint32_t kind; /* enum channel_kind */
	uint32_t slot;
	union {
		uint8_t bytes[120];
		struct {
			uint32_t serial_port;  /* of the host; 0: none */
			uint32_t serial_event; /* bound to its interrupt: HC_IRQ_ACK */
			uint32_t timer_event;
			uint32_t control_event; /* signal it after a message */
			uint32_t self;          /* the driver VM itself: HC_EVENT_CREATE, HC_VM_STATUS */
			uint32_t reserved;
			uint64_t log_position; /* write_seq of the log ring that the kernel has printed */
			char show[32];         /* the console shown first; empty: the first guest's */
		} setup;
		struct {
			uint64_t gpa, bytes;       /* of the RAM disk, in the driver VM; unless `device` is given */
			uint64_t bytes_per_second; /* limits; 0: none */
			uint32_t operations_per_second;
			uint32_t flags; /* CHANNEL_DISK_* */
			uint16_t queues;
			uint16_t part; /* enum channel_part */
			uint32_t part_number;
			char serial[20];    /* NUL-padded */
			char part_name[40]; /* label, or GUID in its text form */
			char device[20];    /* of the host's: PCI address or serial number, NUL-padded */
		} disk;
		struct {
			uint64_t bytes_per_second; /* limit; 0: none */
			uint32_t bridge, tenant;
			uint32_t flags; /* CHANNEL_NIC_* */
			uint16_t vlan, mtu;
			uint16_t pairs; /* of queues */
			uint8_t mac[6];
			uint8_t ip4s, ip6s; /* how many addresses it may send from */
			uint8_t ip4[CHANNEL_NIC_IPS][4], ip6[CHANNEL_NIC_IPS][16];
		} nic;
		struct {
			uint32_t number;     /* joins the two ends */
			uint32_t position;   /* 0 or 1: which of the two this is */
			uint64_t gpa, bytes; /* of the memory, mapped into the guest for good */
		} link;
		struct {
			char name[32];
			uint32_t vm_handle; /* to inject interrupts */
			uint32_t vcpus;
			uint64_t present; /* bit n: vCPU n is there; others up to `vcpus` may come */
			uint64_t ram_gpa; /* the guest's low RAM, then its high RAM, in the driver VM */
			uint64_t low_bytes, high_bytes;
			uint32_t serial;      /* 1: COM1 exists */
			uint32_t console;     /* CHANNEL_CONSOLE_* or 0 */
			uint32_t debug_exit;  /* port or 0 */
			uint32_t debug_crash; /* likewise */
			uint32_t physical_bits;
			uint32_t flags;          /* CHANNEL_VM_* */
			uint32_t balloon_pages;  /* of 4 KiB, to begin with */
			uint32_t doorbell_event; /* for the guest's notification ports: CHANNEL_EVENT_DOORBELL + slot % CHANNEL_DOORBELLS */
		} attach;
		struct {
			uint32_t rid;
			uint32_t handle;            /* HC_DEVICE_BIND_IRQ, HC_DEVICE_STATUS, HC_DEVICE_DMA_ADDRESS */
			uint64_t config_gpa;        /* its 4 KiB of configuration space */
			uint64_t bar[CHANNEL_BARS]; /* 0: none, or no memory BAR */
			uint64_t bar_bytes[CHANNEL_BARS];
			uint32_t flags; /* CHANNEL_DEVICE_* */
			uint32_t reserved;
		} device;
		struct {
			char device[20]; /* PCI address or MAC address in lower case, NUL-padded; empty: the first that is free */
			uint32_t bridge;
			uint32_t flags; /* CHANNEL_NIC_TRUNK, CHANNEL_NIC_NAT */
			uint16_t vlan;
			/* For CHANNEL_NIC_NAT. Addresses as numbers, 203.0.113.1 = 0xCB007101. */
			uint8_t subnet_prefix, address_prefix;
			uint32_t subnet;               /* the guests' */
			uint32_t address, router, dns; /* at the uplink; address 0: all of them by DHCP */
			uint64_t state_gpa;            /* CHANNEL_NAT_BYTES that outlive the driver VM; 0: none */
		} uplink;
		struct {
			char device[20]; /* PORT: of the uplink, as there; PORT_AVOID: of the disk, as there */
			uint32_t flags;  /* CHANNEL_PORT_* */
			char disk[20];   /* the only one with the partition, named as a guest's; empty: any */
			/* With AGAIN, what was answered the first time: */
			struct channel_port_place place;
			struct channel_port_disk found[CHANNEL_PORT_FOUND];
		} port;
		struct {
			struct channel_port_place place;
			struct channel_port_disk found[CHANNEL_PORT_FOUND]; /* with such a partition, which no guest gets */
			uint32_t card;                                      /* there is one, and ... */
			uint8_t mac[6];                                     /* ... this is its address */
		} port_ready;
		struct {
			uint64_t value, value2;
		} request;
	};
};
_Static_assert(sizeof(struct channel_message) == 128, "sixteen to half a page");

#define CHANNEL_RING_SIZE 15u

struct channel_ring {
	uint32_t written; /* messages ever put; the writer's */
	uint32_t taken;   /* messages ever taken; the reader's */
	uint8_t pad[40];
	/* Of the ring to the control VM only; the driver VM's. */
	uint64_t heap_free;    /* bytes that its heap has left, about a second ago */
	uint64_t log_position; /* write_seq of the log ring up to which it has printed */
	union {
		uint8_t beat[64]; /* of each vCPU: moves on when its event bit CHANNEL_EVENT_BEAT, vCPU 0's COMMAND, was seen */
		/* Of the ring to the driver VM only: a bit for each slot with typed input. The writer sets them, the reader takes them. */
		uint64_t typed[CHANNEL_SLOTS / 64];
	};
	struct channel_message message[CHANNEL_RING_SIZE];
};

struct channel {
	struct channel_ring to_driver, to_control;
};
_Static_assert(sizeof(struct channel) == 4096, "one page");

/* A slot's places in the driver VM. Trap pages and record are near each other, so that one page of nested tables maps both. */
/* Of a guest's traps, its HC_VM_SET_HANDLER: the slot, and by the handle of ATTACH which of the guests that were in it. */
static inline uint64_t channel_badge(uint32_t slot, uint32_t vm_handle)
{
	return (uint64_t)vm_handle << 32 | slot;
}

static inline uint64_t channel_trap_page(uint64_t slot, uint64_t vcpu)
{
	return CHANNEL_SLOT_GPA + slot * CHANNEL_SLOT_STRIDE + vcpu * 4096;
}

/* Its struct vm_record. */
static inline uint64_t channel_record_place(uint64_t slot)
{
	return CHANNEL_SLOT_GPA + slot * CHANNEL_SLOT_STRIDE + 0x80000;
}

/* What is kept of it from one driver VM to the next, CHANNEL_STATE_BYTES. */
static inline uint64_t channel_state_place(uint64_t slot)
{
	return CHANNEL_SLOT_GPA + slot * CHANNEL_SLOT_STRIDE + 0x400000;
}
_Static_assert(0x80000 + sizeof(struct vm_record) <= 0x400000 && 0x400000 + CHANNEL_STATE_BYTES <= CHANNEL_SLOT_STRIDE &&
                       CHANNEL_SLOT_GPA + CHANNEL_SLOTS * CHANNEL_SLOT_STRIDE <= CHANNEL_RAM_GPA,
               "a slot's places are disjoint");

/* False: the ring is full. */
static inline bool channel_put(struct channel_ring *ring, const struct channel_message *message)
{
	uint32_t written = __atomic_load_n(&ring->written, __ATOMIC_RELAXED);

	if (written - __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE) >= CHANNEL_RING_SIZE)
		return false;
	ring->message[written % CHANNEL_RING_SIZE] = *message;
	__atomic_store_n(&ring->written, written + 1, __ATOMIC_RELEASE);
	return true;
}

/* A copy of the next one; false: nothing there. `taken` is the reader's own count, kept out of the writer's reach. */
static inline bool channel_look(const struct channel_ring *ring, uint32_t taken, struct channel_message *out)
{
	if (__atomic_load_n(&ring->written, __ATOMIC_ACQUIRE) == taken)
		return false;
	__builtin_memcpy(out, &ring->message[taken % CHANNEL_RING_SIZE], sizeof(*out));
	return true;
}

/* What was looked at is done with. */
static inline void channel_drop(struct channel_ring *ring, uint32_t *taken)
{
	++*taken;
	__atomic_store_n(&ring->taken, *taken, __ATOMIC_RELEASE);
}

/* Both at once. */
static inline bool channel_take(struct channel_ring *ring, uint32_t *taken, struct channel_message *out)
{
	if (!channel_look(ring, *taken, out))
		return false;
	channel_drop(ring, taken);
	return true;
}

#endif
