/* See host_nic.h. */
#include "drivers-vm/driver/host_nic.h"

#include "drivers-vm/runtime/service.h"

#include <stdio.h>
#include <string.h>

static struct host_nic *nics;

void host_nic_add(struct host_nic *nic, const struct host_pci *pci, const char *kind)
{
	const uint8_t *mac = nic->mac;

	host_device_log(pci, "%s network card %02x:%02x:%02x:%02x:%02x:%02x, link %s", kind, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
	                nic->link ? "up" : "down");
	nic->rid = pci->rid;
	nic->joined = NULL;
	nic->next = nics;
	nics = nic;
}

void host_nic_set_link(struct host_nic *nic, const struct host_pci *pci, bool up, unsigned mbits)
{
	if (nic->link == up)
		return;
	nic->link = up;
	if (up && mbits != 0)
		host_device_log(pci, "link up, %u Mbit/s", mbits);
	else
		host_device_log(pci, "link %s", up ? "up" : "down");
}

/* What decisions are made by is copied first. */
void host_nic_forward(struct host_nic *nic, struct io_segment *piece, unsigned pieces)
{
	struct io_segment segment[HOST_NIC_PIECES + 1];
	uint8_t head[NET_HEAD_BYTES];
	struct net_frame frame = { .segment = segment, .segments = 1 };

	for (unsigned i = 0; i < pieces; i++)
		frame.bytes += piece[i].count;
	if (nic->joined == NULL || frame.bytes < NET_HEADER_BYTES || frame.bytes > NET_FRAME_BYTES_MAX)
		return;
	uint32_t copied = frame.bytes < NET_HEAD_BYTES ? frame.bytes : NET_HEAD_BYTES;
	io_segments_read(piece, pieces, 0, head, copied);
	segment[0] = (struct io_segment){ head, copied };
	io_segments_skip(&piece, &pieces, copied);
	for (unsigned i = 0; i < pieces; i++)
		if (piece[i].count != 0)
			segment[frame.segments++] = piece[i];
	net_switch_forward(nic->joined, &nic->port, &frame, service_tsc_to_ns(service_tsc()));
}

void host_nic_forget_all(void)
{
	nics = NULL;
}

/* The first one on the bus that is an uplink, or that is none yet. */
static struct host_nic *find_first(bool joined)
{
	struct host_nic *first = NULL;

	for (struct host_nic *nic = nics; nic != NULL; nic = nic->next)
		if ((nic->joined != NULL) == joined && (first == NULL || nic->rid < first->rid))
			first = nic;
	return first;
}

static struct host_nic *find(const char *name)
{
	uint32_t rid;
	bool by_address = host_pci_parse_address(name, &rid);

	for (struct host_nic *nic = nics; nic != NULL; nic = nic->next) {
		char mac[3 * NET_MAC_BYTES];
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4],
		         nic->mac[5]);
		if (by_address ? nic->rid == rid : strcmp(mac, name) == 0)
			return nic;
	}
	return NULL;
}

bool host_nic_is_free(void)
{
	return find_first(false) != NULL;
}

const struct host_nic *host_nic_joined(const char name[20])
{
	char text[21] = { 0 };

	memcpy(text, name, sizeof(text) - 1);
	const struct host_nic *nic = text[0] != '\0' ? find(text) : find_first(true);
	return nic != NULL && nic->joined != NULL ? nic : NULL;
}

const struct host_nic *host_nic_join(struct net_switch *sw, const struct channel_message *m)
{
	char name[sizeof(m->uplink.device) + 1] = { 0 };
	const char *error = NULL;

	memcpy(name, m->uplink.device, sizeof(m->uplink.device));
	struct host_nic *nic = name[0] != '\0' ? find(name) : find_first(false);
	if (nic == NULL) {
		error = name[0] != '\0' ? "there is no such card that works" : "no network card works: guests reach each other only";
	} else if (nic->joined != NULL) {
		error = "it is an uplink already";
	} else {
		nic->port.policy = (struct net_policy){
			.bridge = m->uplink.bridge,
			.vlan = m->uplink.vlan,
			.trunk = m->uplink.flags & CHANNEL_NIC_TRUNK,
			.uplink = true,
		};
		if (net_switch_add(sw, &nic->port))
			nic->joined = sw;
		else
			error = "the switch has no port left";
	}
	if (error == NULL)
		return nic;
	service_log("uplink '%s': %s", name[0] != '\0' ? name : "any", error);
	return NULL;
}
