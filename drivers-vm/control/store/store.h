/*
 * What survives reboot and power loss: values by key, kept in memory whole and written as a whole to one of two slots of the GPT
 * partition `hilum-state`. Keys: "vm/NAME" (its definition, JSON), "token/NAME", "tls/key", "tls/certificate", "setting/NAME".
 */
#ifndef DRIVERS_VM_CONTROL_STORE_STORE_H
#define DRIVERS_VM_CONTROL_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_BYTES   64u        /* with the NUL */
#define STORE_VALUE_BYTES 65536u     /* largest value */
#define STORE_BYTES       (1u << 20) /* of all keys and values together */

/* Never shown by any interface. On the disk it is marked, not encrypted: there is no place to keep a key that the disk's thief would not
 * have too (docs/state.md). */
#define STORE_SECRET (1u << 0)

/*
 * The disk that it is on; `done` is called once for each, from store_poll's caller's loop, with whether it succeeded. One operation at a
 * time. `sector` counts 512 bytes from the partition's start; `bytes` is a multiple of 512, at most 64 KiB.
 */
struct store_disk {
	uint64_t sectors;
	void *ctx;
	void (*read)(void *ctx, uint64_t sector, void *to, size_t bytes, void (*done)(bool ok));
	void (*write)(void *ctx, uint64_t sector, const void *from, size_t bytes, void (*done)(bool ok));
	void (*flush)(void *ctx, void (*done)(bool ok));
};

/* Whether what is put will be kept: a disk is there and was read. */
bool store_is_kept(void);

/* NULL: no such key. The value lives until the next store_put or store_remove. */
const void *store_get(const char *key, size_t *bytes);
/* The first key after `key` in byte order that begins with `prefix`; key "" starts. NULL: no more. Lives as store_get's value. */
const char *store_next(const char *prefix, const char *key);
/* In memory at once, on the disk soon; false: no room, or the key is too long. */
bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags);
void store_remove(const char *key);
/* Called after each change of a value, and of what is on the disk. */
void store_set_watcher(void (*watcher)(const char *key));
/* Whether all that was put is on the disk. */
bool store_is_clean(void);

#endif
