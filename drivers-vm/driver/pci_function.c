/* Configuration space as bytes with a mask of writable bits: sizing a BAR needs no code of its own that way.
 */
#include "drivers-vm/driver/pci_function.h"

#include <assert.h>
#include <string.h>

static_assert(PCI_BAR0 + 4 * PCI_BARS == 0x28, "type 0 header");

uint32_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)function->config[offset + i] << (8 * i);
	return value;
}

void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++)
		function->config[offset + i] = (uint8_t)(value >> (8 * i));
}

void pci_config_set_writable(struct pci_function *function, unsigned offset, unsigned size, uint32_t mask)
{
	for (unsigned i = 0; i < size; i++)
		function->writable[offset + i] = (uint8_t)(mask >> (8 * i));
}

/* Which BARs answer, and where: 6.2.5.1 Address Maps. */
static void bars_decode(struct pci_function *function)
{
	uint32_t command = pci_config_get(function, PCI_COMMAND, 2);

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &function->bar[i];
		bar->base = pci_config_get(function, PCI_BAR0 + 4 * i, 4) & ~(bar->bytes - 1);
		bar->decodes = bar->bytes != 0 && (command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
	}
}

void pci_function_init(struct pci_function *function, const struct pci_identity *identity, const struct pci_function_ops *ops)
{
	memset(function, 0, sizeof(*function));
	function->ops = ops;
	function->last_capability = PCI_CAPABILITIES;
	function->capability_end = PCI_HEADER_BYTES;
	pci_config_set(function, PCI_VENDOR_ID, 2, identity->vendor);
	pci_config_set(function, PCI_DEVICE_ID, 2, identity->device);
	pci_config_set(function, PCI_REVISION_ID, 1, identity->revision);
	pci_config_set(function, PCI_CLASS_CODE, 3, identity->class_code);
	pci_config_set(function, PCI_SUBSYSTEM_VENDOR_ID, 2, identity->subsystem_vendor);
	pci_config_set(function, PCI_SUBSYSTEM_ID, 2, identity->subsystem);
	pci_config_set_writable(function, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	pci_config_set_writable(function, PCI_CACHE_LINE_SIZE, 1, 0xFF);
	pci_config_set_writable(function, PCI_INTERRUPT_LINE, 1, 0xFF);
}

void pci_function_add_bar(struct pci_function *function, unsigned bar, bool io, uint32_t bytes)
{
	assert(bar < PCI_BARS && bytes >= (io ? 4u : 16u) && (bytes & (bytes - 1)) == 0);
	function->bar[bar].bytes = bytes;
	function->bar[bar].io = io;
	pci_config_set(function, PCI_BAR0 + 4 * bar, 4, io ? PCI_BAR_IO : 0);
	pci_config_set_writable(function, PCI_BAR0 + 4 * bar, 4, ~(bytes - 1));
	function->writable[PCI_COMMAND] |= io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

uint8_t pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned bytes)
{
	uint8_t offset = function->capability_end;

	assert(bytes >= 2 && bytes <= PCI_CONFIG_BYTES - offset);
	function->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	function->config[function->last_capability] = offset;
	function->config[offset] = id;
	function->last_capability = offset + 1;
	function->capability_end = (uint8_t)(offset + ((bytes + 3) & ~3u));
	return offset;
}

void pci_function_finish(struct pci_function *function)
{
	memcpy(function->power_on, function->config, sizeof(function->power_on));
	bars_decode(function);
}

void pci_function_adopt(struct pci_function *function, const uint8_t *config)
{
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
		uint8_t mask = function->writable[i];
		function->config[i] = (uint8_t)((function->config[i] & ~mask) | (config[i] & mask));
	}
	bars_decode(function);
}

void pci_function_reset(struct pci_function *function)
{
	memcpy(function->config, function->power_on, sizeof(function->config));
	bars_decode(function);
	if (function->ops != NULL)
		function->ops->reset(function);
}

uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
	if (offset > PCI_CONFIG_BYTES - size)
		return pci_no_answer(size);
	if (function->ops != NULL && function->ops->config_reading != NULL)
		function->ops->config_reading(function, offset, size);
	return pci_config_get(function, offset, size);
}

void pci_config_write(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
	if (offset > PCI_CONFIG_BYTES - size)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t mask = function->writable[offset + i];
		uint8_t old = function->config[offset + i];
		function->config[offset + i] = (old & ~mask) | ((uint8_t)(value >> (8 * i)) & mask);
	}
	if (offset < PCI_BAR0 + 4 * PCI_BARS)
		bars_decode(function);
	if (function->ops != NULL && function->ops->config_written != NULL)
		function->ops->config_written(function, offset, size);
}

static bool bar_contains(const struct pci_function *function, unsigned bar, uint32_t offset, unsigned size)
{
	uint32_t bytes = bar < PCI_BARS ? function->bar[bar].bytes : 0;

	return function->ops != NULL && bytes >= size && offset <= bytes - size;
}

bool pci_bar_read(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t *value)
{
	if (!bar_contains(function, bar, offset, size))
		return false;
	*value = function->ops->bar_read(function, bar, offset, size);
	return true;
}

bool pci_bar_write(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	if (!bar_contains(function, bar, offset, size))
		return false;
	function->ops->bar_write(function, bar, offset, size, value);
	return true;
}
