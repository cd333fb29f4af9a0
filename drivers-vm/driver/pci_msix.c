/* MSI-X table, masks and pending bits. The message's address is the guest's: it is used for nothing but an
 * interrupt. */
#include "drivers-vm/driver/pci_msix.h"

#include <assert.h>
#include <string.h>

static_assert(PCI_MSIX_VECTORS_MAX <= 32, "pending bits are one word");

static uint32_t control(const struct pci_msix *msix)
{
	return pci_config_get(msix->function, msix->capability + PCI_MSIX_CONTROL, 2);
}

bool pci_msix_is_enabled(const struct pci_msix *msix)
{
	return control(msix) & PCI_MSIX_ENABLE;
}

void pci_msix_reset(struct pci_msix *msix)
{
	memset(msix->table, 0, sizeof(msix->table));
	for (unsigned i = 0; i < PCI_MSIX_VECTORS_MAX; i++)
		msix->table[i][PCI_MSIX_VECTOR] = PCI_MSIX_MASKED;
	msix->pending = 0;
}

void pci_msix_adopt(struct pci_msix *msix, const struct pci_msix *old)
{
	for (unsigned i = 0; i < msix->vectors; i++) {
		msix->table[i][PCI_MSIX_ADDRESS] = old->table[i][PCI_MSIX_ADDRESS] & ~3u;
		msix->table[i][PCI_MSIX_ADDRESS_HI] = old->table[i][PCI_MSIX_ADDRESS_HI];
		msix->table[i][PCI_MSIX_DATA] = old->table[i][PCI_MSIX_DATA];
		msix->table[i][PCI_MSIX_VECTOR] = old->table[i][PCI_MSIX_VECTOR] & PCI_MSIX_MASKED;
	}
	msix->pending = old->pending & ((1u << msix->vectors) - 1);
}

void pci_msix_init(struct pci_msix *msix, struct pci_function *function, const struct model_host *host, unsigned vectors, unsigned bar,
                   uint32_t offset)
{
	uint8_t at = pci_function_add_capability(function, PCI_CAPABILITY_MSIX, PCI_MSIX_CAPABILITY_BYTES);

	assert(vectors != 0 && vectors <= PCI_MSIX_VECTORS_MAX && offset % 8 == 0);
	msix->function = function;
	msix->host = host;
	msix->vectors = vectors;
	msix->capability = at;
	pci_config_set(function, at + PCI_MSIX_CONTROL, 2, vectors - 1);
	pci_config_set_writable(function, at + PCI_MSIX_CONTROL, 2, PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK);
	pci_config_set(function, at + PCI_MSIX_TABLE, 4, offset | bar);
	pci_config_set(function, at + PCI_MSIX_PBA, 4, (offset + PCI_MSIX_PBA_OFFSET) | bar);
	pci_msix_reset(msix);
}

static void send(struct pci_msix *msix, unsigned vector)
{
	const uint32_t *entry = msix->table[vector];

	/* Elsewhere the message would be an ordinary write to memory, which no driver asks for. */
	if (entry[PCI_MSIX_ADDRESS_HI] == 0 && entry[PCI_MSIX_ADDRESS] >> 20 == 0xFEE)
		msix->host->inject_msi(msix->host->ctx, entry[PCI_MSIX_ADDRESS], entry[PCI_MSIX_DATA]);
}

static bool can_send(const struct pci_msix *msix)
{
	return (control(msix) & (PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK)) == PCI_MSIX_ENABLE && pci_function_is_master(msix->function);
}

static void send_pending(struct pci_msix *msix)
{
	if (msix->pending == 0 || !can_send(msix))
		return;
	for (unsigned i = 0; i < msix->vectors; i++) {
		if ((msix->pending & 1u << i) && !(msix->table[i][PCI_MSIX_VECTOR] & PCI_MSIX_MASKED)) {
			msix->pending &= ~(1u << i);
			send(msix, i);
		}
	}
}

void pci_msix_notify(struct pci_msix *msix, unsigned vector)
{
	if (vector >= msix->vectors || !pci_msix_is_enabled(msix))
		return;
	msix->pending |= 1u << vector;
	send_pending(msix);
}

void pci_msix_config_written(struct pci_msix *msix)
{
	send_pending(msix);
}

uint32_t pci_msix_read(const struct pci_msix *msix, uint32_t offset, unsigned size)
{
	if (size != 4 || offset % 4 != 0)
		return 0;
	if (offset < msix->vectors * PCI_MSIX_ENTRY_BYTES)
		return msix->table[offset / PCI_MSIX_ENTRY_BYTES][offset / 4 % 4];
	return offset == PCI_MSIX_PBA_OFFSET ? msix->pending : 0;
}

void pci_msix_write(struct pci_msix *msix, uint32_t offset, unsigned size, uint32_t value)
{
	unsigned word = offset / 4 % 4;

	if (size != 4 || offset % 4 != 0 || offset >= msix->vectors * PCI_MSIX_ENTRY_BYTES)
		return;
	if (word == PCI_MSIX_ADDRESS)
		value &= ~3u;
	if (word == PCI_MSIX_VECTOR)
		value &= PCI_MSIX_MASKED;
	msix->table[offset / PCI_MSIX_ENTRY_BYTES][word] = value;
	send_pending(msix);
}
