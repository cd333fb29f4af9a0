/* The records of the VMs' consoles and counts (struct vm_record): memory that stays when a VM or the driver VM goes. */
#ifndef DRIVERS_VM_CONTROL_CONSOLE_H
#define DRIVERS_VM_CONTROL_CONSOLE_H

#include "drivers-vm/lib/vm_record.h"

#include <hilum/abi.h>
#include <stdbool.h>

struct console {
	hilum_handle_t memory;    /* 0: none yet */
	struct vm_record *record; /* hostile: see vm_record.h */
	uint64_t there;           /* output up to there can be read: its pages have memory */
};

/* Makes one, at the `place` of a VM, below MANAGER_VMS_MAX; nothing if it is there. False: no memory. */
bool console_open(struct console *console, unsigned place);
/* One that an earlier control VM had. */
bool console_recover(struct console *console, unsigned place, hilum_handle_t memory);
void console_close(struct console *console);
/*
 * Its output's pages have memory from the first byte that is written there on. False: the driver VM says that there is more of
 * them, and the machine has none left to see whether that is true.
 */
bool console_can_read(struct console *console);

#endif
