/* See host_disk.h. */
#include "drivers-vm/driver/host_disk.h"

#include <string.h>

static struct host_disk *disks;
static struct host_disk_claim *claims;

void host_disk_add(struct host_disk *disk, const struct host_pci *pci)
{
	disk->rid = pci->rid;
	disk->next = disks;
	disks = disk;
}

struct host_disk *host_disk_next(const struct host_disk *disk)
{
	return disk != NULL ? disk->next : disks;
}

void host_disk_forget_all(void)
{
	disks = NULL;
	claims = NULL;
}

void host_disk_clean_serial(char serial[BLK_SERIAL_BYTES])
{
	unsigned length = BLK_SERIAL_BYTES;

	while (length != 0 && (serial[length - 1] == ' ' || serial[length - 1] == '\0'))
		serial[--length] = '\0';
	for (unsigned i = 0; i < length; i++)
		if (serial[i] < ' ' || serial[i] > '~')
			serial[i] = '?';
}

#define ANY_PORT UINT32_MAX

/* "00:1f.2" or "00:1f.2/1"; false: it is no such address. */
static bool parse_place(char *text, uint32_t *rid, uint32_t *port)
{
	char *slash = strchr(text, '/');

	*port = ANY_PORT;
	if (slash != NULL) {
		char tens = slash[1], ones = tens != '\0' ? slash[2] : '\0';
		bool two = ones >= '0' && ones <= '9' && slash[3] == '\0';
		if (tens < '0' || tens > '9' || (ones != '\0' && !two))
			return false;
		*port = two ? (uint32_t)(10 * (tens - '0') + ones - '0') : (uint32_t)(tens - '0');
		*slash = '\0';
	}
	return host_pci_parse_address(text, rid);
}

const char *host_disk_find(const char name[BLK_SERIAL_BYTES], struct blk_device **device)
{
	char text[BLK_SERIAL_BYTES + 1] = { 0 };
	struct host_disk *found = NULL;
	uint32_t rid, port;

	memcpy(text, name, BLK_SERIAL_BYTES);
	bool by_address = parse_place(text, &rid, &port);
	for (struct host_disk *disk = disks; disk != NULL; disk = disk->next) {
		if (by_address ? disk->rid != rid || (port != ANY_PORT && disk->port != port)
		               : memcmp(disk->device.serial, name, BLK_SERIAL_BYTES) != 0)
			continue;
		if (found != NULL)
			return by_address ? "several disks are at that PCI address: name the port too, as in 00:1f.2/1"
			                  : "two disks of the machine have that serial number: name it by its PCI address";
		found = disk;
	}
	if (found == NULL)
		return by_address ? "no disk is at that PCI address" : "no disk of the machine has that serial number";
	*device = &found->device;
	return NULL;
}

static bool overlaps(const struct host_disk_claim *c, const struct blk_device *device, uint64_t first, uint64_t sectors)
{
	return c->device == device && first < c->first + c->sectors && c->first < first + sectors;
}

bool host_disk_claim(struct host_disk_claim *claim, const struct blk_device *device, uint64_t first, uint64_t sectors, bool read_only)
{
	for (const struct host_disk_claim *c = claims; c != NULL; c = c->next)
		if (!(c->read_only && read_only) && overlaps(c, device, first, sectors))
			return false;
	*claim = (struct host_disk_claim){ device, first, sectors, read_only, NULL, claims };
	claims = claim;
	return true;
}

const char *host_disk_owner(const struct blk_device *device, uint64_t first, uint64_t sectors)
{
	for (const struct host_disk_claim *c = claims; c != NULL; c = c->next)
		if (c->owner != NULL && overlaps(c, device, first, sectors))
			return c->owner;
	return "another guest's disk";
}

void host_disk_release(struct host_disk_claim *claim)
{
	struct host_disk_claim **at = &claims;

	while (*at != NULL && *at != claim)
		at = &(*at)->next;
	if (*at == claim)
		*at = claim->next;
	claim->device = NULL;
}
