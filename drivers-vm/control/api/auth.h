/* Tokens and their roles, and the limit on wrong ones. */
#ifndef DRIVERS_VM_CONTROL_API_AUTH_H
#define DRIVERS_VM_CONTROL_API_AUTH_H

#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/api/digest.h"

#define AUTH_TOKENS_MAX       64u
#define AUTH_TOKEN_NAME_BYTES 32u

enum auth_role {
	AUTH_NONE, /* no token is needed */
	AUTH_VIEWER,
	AUTH_OPERATOR,
	AUTH_ADMIN,
};

struct auth_token {
	char name[AUTH_TOKEN_NAME_BYTES];
	enum auth_role role;
	uint64_t created_s; /* since 1970 */
	uint64_t serial;    /* different for each token since the start; zero: this place is free */
	uint8_t digest[DIGEST_SHA256_BYTES];
};

enum auth_result {
	AUTH_OK,
	AUTH_EXISTS,
	AUTH_NOT_FOUND,
	AUTH_LAST_ADMIN,
	AUTH_FULL,
	AUTH_FAILED, /* no random bytes, or the store is full */
};

const char *auth_role_name(enum auth_role role); /* "viewer"; AUTH_NONE: "" */
bool auth_find_role(const char *name, enum auth_role *role);
/* Letters, digits, '.', '_' and '-'; begins with a letter, a digit or '_'; shorter than `bytes`. */
bool auth_is_name(const char *name, size_t bytes);

void auth_load(void);
/* NULL: this place is free, or there is none. */
const struct auth_token *auth_at(unsigned index);
enum auth_result auth_create(const char *name, enum auth_role role, char token[API_TOKEN_BYTES]);
enum auth_result auth_remove(const char *name);

/* The index of the token whose secret this is, or negative. Takes the same time for each `secret` of the same length. */
int auth_check(const char *secret, size_t length);

/*
 * Wrong tokens: each address may send AUTH_PEER_BURST at once and one every AUTH_PEER_NS, all together AUTH_ALL_BURST and one every
 * AUTH_ALL_NS. Returns how many seconds the address must wait before its next one is looked at; zero: none.
 */
#define AUTH_PEER_BURST 10u
#define AUTH_PEER_NS    6000000000ull
#define AUTH_ALL_BURST  100u
#define AUTH_ALL_NS     1000000000ull
unsigned auth_wait_seconds(const uint8_t peer[16], uint64_t now_ns);
void auth_note_failure(const uint8_t peer[16], uint64_t now_ns);

#endif
