/* Definitions between the API, the store and the manager. */
#ifndef DRIVERS_VM_CONTROL_API_DEFINITION_H
#define DRIVERS_VM_CONTROL_API_DEFINITION_H

#include "drivers-vm/control/api/text.h"
#include "drivers-vm/control/manager.h"

struct definition_error {
	char field[96];
	char detail[CONFIG_MESSAGE_MAX];
};

/* Reads and checks a VM's definition, its addresses against those of all other VMs too. NULL: what is wrong first is in *error, or its
 * detail is empty and there was no memory. */
struct manager_definition *definition_read(const char *name, const char *text, size_t length, struct definition_error *error);
void definition_free(struct manager_definition *definition);

/* Whether both say the same, as JSON shows it. */
bool definition_equal(const struct config_vm *a, const struct config_vm *b);

/* Puts it into the store; false: there is no room. */
bool definition_store(const struct config_vm *config);
/* What the store has of a VM, and back again; `saved` is freed by the latter. */
void definition_save(const char *name, struct text *saved);
void definition_put_back(const char *name, struct text *saved);
void definition_forget(const char *name);

#endif
