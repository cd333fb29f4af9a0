/*
 * What the API asks of the machine that it runs on, beyond manager.h, store.h and events.h. The control VM and the simulator each implement
 * all of this.
 */
#ifndef DRIVERS_VM_CONTROL_API_PLATFORM_H
#define DRIVERS_VM_CONTROL_API_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that nobody can guess; false: there are none. */
bool api_random(void *to, size_t bytes);

/* The machine's name ([api] name), Hilum's version, and why the machine was started: "power-on", "reset" ... or "unknown". */
const char *api_host_name(void);
const char *api_version(void);
const char *api_boot_reason(void);

/* The control VM's own network addresses in text form; false: there is none of this index. */
#define API_ADDRESS_BYTES 46u
bool api_address(unsigned index, char text[API_ADDRESS_BYTES]);

/* SHA-256 of the certificate in use, "sha256:3A:5B:..."; empty without one. */
#define API_FINGERPRINT_BYTES 104u
void api_fingerprint(char text[API_FINGERPRINT_BYTES]);

/* For connections from then on. Strings are PEM. False, with a sentence in `error`: they are not used. */
#define API_ERROR_BYTES 200u
bool api_set_certificate(const char *certificate, const char *key, char error[API_ERROR_BYTES]);
/* Back to the self-signed one. */
void api_reset_certificate(void);

/* How the API's connections have fared; all zero where nothing bounds them. */
struct api_connections {
	unsigned open;
	uint64_t accepted, handshakes, handshake_ns; /* the last: spent on all handshakes, also those that failed */
	uint64_t refused, dropped;                   /* for want of room */
	uint64_t failed;                             /* by an error or by silence */
};
void api_connections(struct api_connections *out);

/*
 * A debugger's connection to a VM. api_gdb_open returns a number for the next calls, or negative with a sentence in `error`: there is no
 * such VM, or another debugger has it.
 */
int api_gdb_open(const char *vm, char error[API_ERROR_BYTES]);
/* From the debugger; returns how many bytes were taken. */
size_t api_gdb_receive(int session, const void *bytes, size_t count);
/* To the debugger; zero: nothing now. */
size_t api_gdb_send(int session, void *to, size_t size);
/* False: it is over, and wants api_gdb_close. */
bool api_gdb_is_open(int session);
void api_gdb_close(int session);

#endif
