/* How often Hilum has started with this state: "setting/boots". */
#ifndef DRIVERS_VM_CONTROL_STORE_STORE_BOOTS_H
#define DRIVERS_VM_CONTROL_STORE_STORE_BOOTS_H

/* Counts this start and says so in the log. Once, when the store is ready and kept. */
void store_count_boot(void);

#endif
