/*
 * The API: routes, tokens, audit, metrics, static files. http.h is its lower end; manager.h, events.h, store/store.h and platform.h are
 * what it stands on. No allocation beyond text.h's bound and the definitions that it hands to the manager.
 */
#ifndef DRIVERS_VM_CONTROL_API_API_H
#define DRIVERS_VM_CONTROL_API_API_H

#include "drivers-vm/control/api/files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the tokens from the store. To be called once, when the store has been read; http_open may follow. */
void api_start(void);

/*
 * Hands the definitions that the store keeps to the manager; one of the same name as a VM of hilum.toml replaces that. What is not valid
 * (any more) is told as an event and stays in the store. Returns how many were defined.
 */
unsigned api_load_definitions(void);

/* If there is no token at all: makes one with the role admin, named "first", and returns true. To be shown to who stands at the machine. */
#define API_TOKEN_BYTES 50u /* "hilum_", 43 characters and the NUL */
bool api_first_token(char token[API_TOKEN_BYTES]);

/* docs/openapi.yaml */
extern const char api_document[];
extern const unsigned api_document_bytes;

/* ---- For the conformance test --------------------------------------------------------------------------------------------------- */
/* Each route's method, path and least role ("none" without a token); false: there is none of this index. */
bool api_route_at(unsigned index, const char **method, const char **path, const char **role, const char **socket_role);

#endif
