/* See cpu_plug.h. */
#include "drivers-vm/driver/cpu_plug.h"

void cpu_plug_init(struct cpu_plug *plug, const struct model_host *host, uint64_t present)
{
	*plug = (struct cpu_plug){ .host = host, .present = present };
}

void cpu_plug_adopt(struct cpu_plug *plug, const struct cpu_plug *old)
{
	plug->came = old->came & plug->present;
	plug->shall_go = old->shall_go & plug->present;
}

bool cpu_plug_set(struct cpu_plug *plug, uint64_t present, uint64_t shall_go)
{
	plug->came = (plug->came | (present & ~plug->present)) & present;
	plug->shall_go = shall_go & present;
	plug->present = present;
	return (plug->came | plug->shall_go) != 0;
}

uint8_t cpu_plug_read(const struct cpu_plug *plug, unsigned offset)
{
	unsigned shift = offset % 8 * 8;

	switch (offset & ~7u) {
	case PLATFORM_CPU_PRESENT:
		return (uint8_t)(plug->present >> shift);
	case PLATFORM_CPU_CAME:
		return (uint8_t)(plug->came >> shift);
	case PLATFORM_CPU_SHALL_GO:
		return (uint8_t)(plug->shall_go >> shift);
	}
	return 0;
}

/* Said once: a guest that says it again and again keeps nobody busy. */
static void eject(struct cpu_plug *plug, uint8_t index)
{
	if (index == 0 || index >= PLATFORM_MAX_VCPUS || !(plug->present >> index & 1))
		return;
	plug->present &= ~(1ull << index);
	plug->host->request(plug->host->ctx, MODEL_REQUEST_EJECT, index);
}

/* Ones clear what was seen. */
void cpu_plug_write(struct cpu_plug *plug, unsigned offset, uint8_t value)
{
	unsigned shift = offset % 8 * 8;

	switch (offset & ~7u) {
	case PLATFORM_CPU_CAME:
		plug->came &= ~((uint64_t)value << shift);
		break;
	case PLATFORM_CPU_SHALL_GO:
		plug->shall_go &= ~((uint64_t)value << shift);
		break;
	case PLATFORM_CPU_EJECT:
		if (offset == PLATFORM_CPU_EJECT)
			eject(plug, value);
		break;
	}
}
