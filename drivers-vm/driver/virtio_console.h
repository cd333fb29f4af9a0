/*
 * A virtio console with one port: virtio 1.2, 5.3. What the guest transmits goes to console_write; a flood of
 * it is taken in slices, so that no guest holds its driver VM up.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_CONSOLE_H
#define DRIVERS_VM_DRIVER_VIRTIO_CONSOLE_H

#include "drivers-vm/driver/virtio_pci.h"

#define VIRTIO_CONSOLE_TYPE       3u
#define VIRTIO_CONSOLE_CLASS      0x078000u /* simple communication controller, other */
#define VIRTIO_CONSOLE_QUEUE_SIZE 64u

#define VIRTIO_CONSOLE_RECEIVE  0u
#define VIRTIO_CONSOLE_TRANSMIT 1u
#define VIRTIO_CONSOLE_QUEUES   2u

/* Feature bits and configuration: 5.3.3, 5.3.4. */
#define VIRTIO_CONSOLE_F_SIZE        (1ull << 0)
#define VIRTIO_CONSOLE_F_EMERG_WRITE (1ull << 2)
#define VIRTIO_CONSOLE_COLS          0u
#define VIRTIO_CONSOLE_ROWS          2u
#define VIRTIO_CONSOLE_MAX_PORTS     4u
#define VIRTIO_CONSOLE_EMERG_WRITE   8u
#define VIRTIO_CONSOLE_CONFIG_BYTES  12u

#define VIRTIO_CONSOLE_SLICE_BYTES 4096u    /* transmitted at one go, */
#define VIRTIO_CONSOLE_SLICE_NS    1000000u /* and the pause after that */

struct virtio_console {
	struct virtio_pci device; /* first: the transport's callbacks find the console by it */
	unsigned console;
	unsigned timer;
	uint16_t cols, rows;
	bool input_refused;
	bool transmitting;    /* `transmit_chain` is not given back yet, */
	uint64_t transmitted; /* and this much of it is out */
	struct virtqueue_chain transmit_chain, receive_chain;
	struct io_segment transmit_segment[VIRTIO_CONSOLE_QUEUE_SIZE], receive_segment[VIRTIO_CONSOLE_QUEUE_SIZE];
};

/*
 * Sets up the power-on state, ready for pci_host_plug(&console->device.function). `number` names the console
 * in console_write and console_ready; `timer` is the id that the model arms for itself; the terminal has
 * `cols` by `rows` characters.
 */
void virtio_console_init(struct virtio_console *console, const struct model_host *host, unsigned number, unsigned timer, uint16_t cols,
                         uint16_t rows, bool packed);

/* The timer has expired. */
void virtio_console_timer(struct virtio_console *console);

/*
 * Input for the guest; returns how many bytes it had room for. After a short count, host->console_ready says
 * when to go on.
 */
size_t virtio_console_input(struct virtio_console *console, const uint8_t *bytes, size_t count);

/*
 * Goes on where the same console stood in a driver VM that is gone: takes over what `old` says, in which anything may be found; then,
 * once all of the machine has been taken over, gets on with it.
 */
void virtio_console_adopt(struct virtio_console *console, const struct virtio_console *old);
void virtio_console_resume(struct virtio_console *console);

#endif
