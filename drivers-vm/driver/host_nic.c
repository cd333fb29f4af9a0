/* See host_nic.h. */
#include "drivers-vm/driver/host_nic.h"

#include "drivers-vm/runtime/service.h"

#include <stdio.h>
#include <string.h>

static struct host_nic *nics;

void host_nic_add(struct host_nic *nic, const struct host_pci *pci)
{
	nic->rid = pci->rid;
	nic->joined = NULL;
	nic->next = nics;
	nics = nic;
}

void host_nic_forget_all(void)
{
	nics = NULL;
}

/* The first one on the bus that is no uplink yet. */
static struct host_nic *find_first(void)
{
	struct host_nic *first = NULL;

	for (struct host_nic *nic = nics; nic != NULL; nic = nic->next)
		if (nic->joined == NULL && (first == NULL || nic->rid < first->rid))
			first = nic;
	return first;
}

static struct host_nic *find(const char *name)
{
	uint32_t rid;
	bool by_address = host_pci_parse_address(name, &rid);

	if (name[0] == '\0')
		return find_first();

	for (struct host_nic *nic = nics; nic != NULL; nic = nic->next) {
		char mac[3 * NET_MAC_BYTES];
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3],
			 nic->mac[4], nic->mac[5]);
		if (by_address ? nic->rid == rid : strcmp(mac, name) == 0)
			return nic;
	}
	return NULL;
}

const struct host_nic *host_nic_join(struct net_switch *sw, const struct channel_message *m)
{
	char name[sizeof(m->uplink.device) + 1] = {0};
	const char *error = NULL;

	memcpy(name, m->uplink.device, sizeof(m->uplink.device));
	struct host_nic *nic = find(name);
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
