/*
 * Who asked for what: each request that changes something or was refused. Requests without a valid token have a ring of their own, so that
 * they do not push out the others.
 */
#ifndef DRIVERS_VM_CONTROL_API_AUDIT_H
#define DRIVERS_VM_CONTROL_API_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#define AUDIT_KEPT         512u /* of requests with a valid token */
#define AUDIT_REFUSED_KEPT 128u /* of the others */
#define AUDIT_PATH_BYTES   96u

struct audit_entry {
	uint64_t id; /* from 1; zero: this place is empty */
	uint64_t time_ns;
	char token[32], role[12], peer[46], method[12];
	char path[AUDIT_PATH_BYTES];
	unsigned status;
};

/* Where they are kept: memory that is zero at first. An entry's id is stored last. */
struct audit_rings {
	struct audit_entry known[AUDIT_KEPT], refused[AUDIT_REFUSED_KEPT];
	uint64_t known_count, refused_count; /* ever */
};
/* From now on they are kept there, with what is there already, of which a control VM has died. */
void audit_use(struct audit_rings *rings);

/* Sets the entry's id and keeps a copy. */
void audit_add(struct audit_entry *entry);
/* The first entry after `id` that is kept; false: there is none. */
bool audit_after(uint64_t id, struct audit_entry *out);
uint64_t audit_last_id(void);

/* An IPv6 or IPv4-mapped address in text form. */
void audit_format_peer(const uint8_t peer[16], char text[46]);

#endif
