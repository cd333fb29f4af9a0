/* The disk: one operation at a time, by way of the area's data buffer. It outlives the driver VM that it was given to: the next one gets
 * it again, which writes and reads nothing else than before. */
#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/control/net/port_queue.h"

#include <string.h>

#define SECTOR_BYTES 512u

static struct store_disk disk;
static struct port_queue queue;
static uint8_t *shared;
static void (*ring)(void);
static bool up;

static struct {
	void (*done)(bool ok); /* NULL: none is under way */
	uint32_t type;
	uint64_t sector;
	uint32_t bytes;
	void *to;
	const void *from;
	bool failed; /* to be told at the next port_disk_poll */
} operation;

static void describe(bool data)
{
	const uint16_t status = data ? 2 : 1;
	uint16_t writes = operation.type == PORT_AREA_DISK_READ ? PORT_QUEUE_WRITE : 0;

	port_queue_describe(&queue, 0, PORT_AREA_DISK_HEADER, PORT_AREA_DISK_HEADER_BYTES, PORT_QUEUE_NEXT, 1);
	if (data)
		port_queue_describe(&queue, 1, PORT_AREA_DISK_DATA, operation.bytes, PORT_QUEUE_NEXT | writes, status);
	port_queue_describe(&queue, status, PORT_AREA_DISK_STATUS, 1, PORT_QUEUE_WRITE, 0);
}

/* Gives the operation to the driver VM. */
static void submit(void)
{
	const uint64_t header[2] = { operation.type, operation.sector };

	memcpy(shared + PORT_AREA_DISK_HEADER, header, sizeof(header));
	if (operation.type == PORT_AREA_DISK_WRITE)
		memcpy(shared + PORT_AREA_DISK_DATA, operation.from, operation.bytes);
	*(volatile uint8_t *)(shared + PORT_AREA_DISK_STATUS) = 0xFF;
	describe(operation.type != PORT_AREA_DISK_FLUSH);
	port_queue_offer(&queue, 0);
	if (port_queue_wants_kick(&queue))
		ring();
}

static bool is_possible(void)
{
	uint64_t sectors = operation.bytes / SECTOR_BYTES;

	return operation.bytes % SECTOR_BYTES == 0 && operation.bytes <= PORT_AREA_DISK_BYTES && sectors <= disk.sectors &&
	       operation.sector <= disk.sectors - sectors && !queue.broken;
}

static void begin(void)
{
	operation.failed = !is_possible();
	if (up && !operation.failed)
		submit();
}

static void disk_read(void *ctx, uint64_t sector, void *to, size_t bytes, void (*done)(bool ok))
{
	(void)ctx;
	operation.type = PORT_AREA_DISK_READ;
	operation.sector = sector;
	operation.bytes = bytes <= PORT_AREA_DISK_BYTES ? (uint32_t)bytes : UINT32_MAX;
	operation.to = to;
	operation.done = done;
	begin();
}

static void disk_write(void *ctx, uint64_t sector, const void *from, size_t bytes, void (*done)(bool ok))
{
	(void)ctx;
	operation.type = PORT_AREA_DISK_WRITE;
	operation.sector = sector;
	operation.bytes = bytes <= PORT_AREA_DISK_BYTES ? (uint32_t)bytes : UINT32_MAX;
	operation.from = from;
	operation.done = done;
	begin();
}

static void disk_flush(void *ctx, void (*done)(bool ok))
{
	(void)ctx;
	operation.type = PORT_AREA_DISK_FLUSH;
	operation.sector = operation.bytes = 0;
	operation.done = done;
	begin();
}

void port_disk_expect(uint64_t sectors)
{
	disk = (struct store_disk){ .sectors = sectors, .read = disk_read, .write = disk_write, .flush = disk_flush };
}

void port_disk_start(uint8_t *area, uint64_t sectors, void (*kick)(void))
{
	port_disk_expect(sectors);
	shared = area;
	ring = kick;
	port_queue_init(&queue, area, PORT_AREA_DISK, PORT_AREA_DISK_ENTRIES);
	up = true;
	if (operation.done != NULL && !operation.failed)
		begin();
}

void port_disk_stop(void)
{
	up = false;
}

void port_disk_end(void)
{
	up = false;
	queue.broken = true;
	operation.failed = operation.done != NULL;
}

bool port_disk_poll(void)
{
	uint16_t head;
	uint32_t bytes;
	bool ok = false;

	if (operation.done == NULL)
		return false;
	if (!operation.failed) {
		if (!up || (!port_queue_take(&queue, &head, &bytes) && !queue.broken))
			return false;
		/* Only the chain that begins at descriptor 0 is ever offered. */
		ok = !queue.broken && *(volatile uint8_t *)(shared + PORT_AREA_DISK_STATUS) == PORT_AREA_DISK_OK;
		if (ok && operation.type == PORT_AREA_DISK_READ)
			memcpy(operation.to, shared + PORT_AREA_DISK_DATA, operation.bytes);
	}
	void (*done)(bool) = operation.done;
	operation.done = NULL;
	operation.failed = false;
	done(ok);
	return true;
}

const struct store_disk *port_disk(void)
{
	return &disk;
}
