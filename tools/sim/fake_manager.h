/* The fake manager's VMs, for its parts. */
#ifndef TOOLS_SIM_FAKE_MANAGER_H
#define TOOLS_SIM_FAKE_MANAGER_H

#include "tools/sim/sim.h"

struct fake_vm {
	bool used;
	struct manager_definition *definition; /* in force at the next start */
	struct manager_definition *running;    /* what it runs with; may be the same */
	struct manager_vm view;
	struct fake_console console;
	uint64_t run_since_ns;           /* on sim_now_ns; zero: its time stands still */
	uint64_t run_ns;                 /* before that */
	uint64_t button_ns;              /* when the guest reacts to its power button, or zero */
	uint64_t memory_max, memory_min; /* while it runs */
	uint64_t plug_ns;                /* when the plug is pulled, or zero */
	bool again;                      /* starts again when it has ended */
};

struct fake_vm *fake_vm_find(const char *name);
struct fake_vm *fake_vm_at(unsigned index);
/* How long its vCPUs have had time since it was started. */
uint64_t fake_vm_run_ns(const struct fake_vm *vm);
bool fake_vm_has_figures(const struct fake_vm *vm);

/* fake_images.c */
void fake_images_start(void);
bool fake_image_exists(const char *name);

#endif
