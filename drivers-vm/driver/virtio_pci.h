/*
 * The PCI transport of virtio devices: virtio 1.2, 4.1, without the legacy interface. One I/O BAR takes the
 * notifications, each queue's at a port of its own, so that a caller can bind those ports to an event; one
 * memory BAR holds the rest. Interrupts are MSI-X only.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_PCI_H
#define DRIVERS_VM_DRIVER_VIRTIO_PCI_H

#include "drivers-vm/driver/pci_host.h"
#include "drivers-vm/driver/pci_msix.h"
#include "drivers-vm/driver/virtqueue.h"

#define VIRTIO_PCI_VENDOR_ID  0x1AF4u
#define VIRTIO_PCI_DEVICE_ID  0x1040u /* + the device's type: 4.1.2 */
#define VIRTIO_PCI_REVISION   1u
#define VIRTIO_PCI_SUBSYSTEM  0x1100u
#define VIRTIO_PCI_QUEUES_MAX 9u
#define VIRTIO_NO_VECTOR      0xFFFFu

/* Device status: 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER      0x02u
#define VIRTIO_STATUS_DRIVER_OK   0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED      0x80u

/* Feature bits of the transport and of queues: 6. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_PACKED   (1ull << 34)

/* Capabilities: 4.1.4. */
#define VIRTIO_PCI_CAP_COMMON 1u
#define VIRTIO_PCI_CAP_NOTIFY 2u
#define VIRTIO_PCI_CAP_ISR    3u
#define VIRTIO_PCI_CAP_DEVICE 4u
#define VIRTIO_PCI_CAP_PCI    5u

#define VIRTIO_PCI_CAP_LENGTH_AT  2u
#define VIRTIO_PCI_CAP_TYPE_AT    3u
#define VIRTIO_PCI_CAP_BAR_AT     4u
#define VIRTIO_PCI_CAP_OFFSET_AT  8u
#define VIRTIO_PCI_CAP_SIZE_AT    12u
#define VIRTIO_PCI_CAP_BYTES      16u
#define VIRTIO_PCI_CAP_MULTIPLIER 16u /* of the notification capability */
#define VIRTIO_PCI_CAP_DATA       16u /* of the configuration access capability */
#define VIRTIO_PCI_CAP_LONG_BYTES 20u

/* The BARs and what is where in them. */
#define VIRTIO_PCI_BAR_NOTIFY        0u
#define VIRTIO_PCI_BAR_MEMORY        1u
#define VIRTIO_PCI_NOTIFY_MULTIPLIER 4u
#define VIRTIO_PCI_NOTIFY_BYTES      64u
#define VIRTIO_PCI_COMMON_OFFSET     0x0000u
#define VIRTIO_PCI_ISR_OFFSET        0x0100u
#define VIRTIO_PCI_DEVICE_OFFSET     0x0200u
#define VIRTIO_PCI_DEVICE_BYTES      0x0100u
#define VIRTIO_PCI_MSIX_OFFSET       0x1000u /* a page of its own */
#define VIRTIO_PCI_MEMORY_BYTES      0x2000u

/* Common configuration structure: 4.1.4.3. */
#define VIRTIO_COMMON_DEVICE_FEATURE_SELECT 0x00u
#define VIRTIO_COMMON_DEVICE_FEATURE        0x04u
#define VIRTIO_COMMON_DRIVER_FEATURE_SELECT 0x08u
#define VIRTIO_COMMON_DRIVER_FEATURE        0x0Cu
#define VIRTIO_COMMON_CONFIG_MSIX_VECTOR    0x10u
#define VIRTIO_COMMON_NUM_QUEUES            0x12u
#define VIRTIO_COMMON_DEVICE_STATUS         0x14u
#define VIRTIO_COMMON_CONFIG_GENERATION     0x15u
#define VIRTIO_COMMON_QUEUE_SELECT          0x16u
#define VIRTIO_COMMON_QUEUE_SIZE            0x18u
#define VIRTIO_COMMON_QUEUE_MSIX_VECTOR     0x1Au
#define VIRTIO_COMMON_QUEUE_ENABLE          0x1Cu
#define VIRTIO_COMMON_QUEUE_NOTIFY_OFF      0x1Eu
#define VIRTIO_COMMON_QUEUE_DESC            0x20u
#define VIRTIO_COMMON_QUEUE_DRIVER          0x28u
#define VIRTIO_COMMON_QUEUE_DEVICE          0x30u
#define VIRTIO_COMMON_BYTES                 0x38u

/* ISR status: 4.1.4.5. */
#define VIRTIO_ISR_QUEUE  0x1u
#define VIRTIO_ISR_CONFIG 0x2u

struct virtio_pci;

struct virtio_device_ops {
	/* Device-specific configuration, as 1, 2 or 4 bytes inside the declared length. */
	uint32_t (*config_read)(struct virtio_pci *device, uint32_t offset, unsigned size);
	void (*config_write)(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value);
	/* The driver may have added buffers to an enabled queue of a device that is live. */
	void (*queue_notify)(struct virtio_pci *device, unsigned queue);
	/* The device's own state to power-on; its queues are gone. */
	void (*reset)(struct virtio_pci *device);
	/*
	 * Optional. Whether the device still uses buffers of its queues: the reset then ends later, by
	 * virtio_pci_idle.
	 */
	bool (*busy)(struct virtio_pci *device);
};

struct virtio_identity {
	uint16_t type;         /* 5 Device Types */
	uint32_t class_code;   /* PCI's, 24 bits */
	uint64_t features;     /* beyond those of transport and queues */
	uint32_t config_bytes; /* at most VIRTIO_PCI_DEVICE_BYTES */
	unsigned queues;       /* at most VIRTIO_PCI_QUEUES_MAX */
	uint16_t queue_size;   /* largest, of each */
	bool packed;           /* offer packed rings */
};

struct virtio_pci {
	struct pci_function function; /* first: the function's callbacks find the device by it */
	struct pci_msix msix;
	const struct model_host *host;
	const struct virtio_device_ops *ops;
	struct virtio_identity identity;
	uint64_t offered, negotiated;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t queue_vector[VIRTIO_PCI_QUEUES_MAX];
	uint8_t status, generation, isr;
	bool resetting;            /* 4.1.4.3.2: the status reads 0 only when the reset is over */
	uint8_t access_capability; /* VIRTIO_PCI_CAP_PCI */
	uint16_t notify_port;      /* of the doorbells, 0 while there are none */
	struct virtqueue queue[VIRTIO_PCI_QUEUES_MAX];
};

/* Sets up the power-on state, ready for pci_host_plug. `host` must outlive the device. */
void virtio_pci_init(struct virtio_pci *device, const struct model_host *host, const struct virtio_identity *identity,
                     const struct virtio_device_ops *ops);

/*
 * The first of the VIRTIO_PCI_NOTIFY_BYTES ports whose writes mean that the device's queues may have buffers,
 * whatever is written; 0: none now. host->doorbells_changed says that this has changed. A caller that binds
 * them to an event calls virtio_pci_serve instead of passing the write on.
 */
static inline uint16_t virtio_pci_doorbell(const struct virtio_pci *device)
{
	return device->notify_port;
}

/* Looks into all queues for buffers. */
void virtio_pci_serve(struct virtio_pci *device);

/* The driver notifies `queue`; ignored if there is none or the device is not live. */
void virtio_pci_notify(struct virtio_pci *device, unsigned queue);

/*
 * Goes on where the same device stood in a driver VM that is gone. `old` is its state, in which anything may be found: what makes no
 * sense leaves the device in need of a reset. `in_order` has a bit for each queue that holds no buffer between calls. Nothing reaches
 * the guest before virtio_pci_resume, by when the device has adopted its own state.
 */
void virtio_pci_adopt(struct virtio_pci *device, const struct virtio_pci *old, uint32_t in_order);
/* Its doorbell, and an interrupt for each queue: what was pushed last may not have been told. */
void virtio_pci_resume(struct virtio_pci *device);

/* ---- For the device behind it ---- */

/* Whether queues may be touched: driver ready, device not broken, bus mastering on. */
bool virtio_pci_is_live(const struct virtio_pci *device);

/* Takes the next buffer of `queue`; false: there is none, or the driver broke a rule and the device now needs
 * a reset. */
bool virtio_pci_pop(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain);

/* The same; if there is none, the driver is asked for a notification, and what it added in between is found.
 */
bool virtio_pci_take(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain);

/* The driver broke a rule: NEEDS_RESET, and nothing works until it resets the device. */
void virtio_pci_fail(struct virtio_pci *device);

/* As found by virtio_pci_adopt: a device that cannot go on. */
static inline void virtio_pci_refuse(struct virtio_pci *device)
{
	device->status |= VIRTIO_STATUS_NEEDS_RESET;
}

/* Sends the queue's interrupt if the driver wants one for what was pushed. */
void virtio_pci_signal(struct virtio_pci *device, unsigned queue);

/* The device does not use its queues' buffers any more: what ops->busy announced is over. */
void virtio_pci_idle(struct virtio_pci *device);

/* Device-specific configuration has changed: new generation, and an interrupt once the driver is ready. */
void virtio_pci_config_changed(struct virtio_pci *device);

/* `size` bytes at `offset` of a configuration that is kept as the guest sees it. */
static inline uint32_t virtio_config_get(const uint8_t *config, uint32_t offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)config[offset + i] << (8 * i);
	return value;
}

#endif
