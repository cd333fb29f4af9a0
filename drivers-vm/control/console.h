/* The records of the VMs' consoles and counts (struct vm_record): memory that stays when a VM or the driver VM goes. */
#ifndef DRIVERS_VM_CONTROL_CONSOLE_H
#define DRIVERS_VM_CONTROL_CONSOLE_H

#include "drivers-vm/lib/vm_record.h"

#include <hilum/abi.h>
#include <stdbool.h>

struct console {
	hilum_handle_t memory;	  /* 0: none yet */
	struct vm_record *record; /* hostile: see vm_record.h */
};

/* Makes one, at the `place` of a VM, below MANAGER_VMS_MAX; nothing if it is there. False: no memory. */
bool console_open(struct console *console, unsigned place);
/* One that an earlier control VM had. */
bool console_recover(struct console *console, unsigned place, hilum_handle_t memory);
void console_close(struct console *console);

#endif
