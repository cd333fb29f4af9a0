/* Tokens: 32 random bytes, of which only the SHA-256 is kept. That needs no salt and no slow hash: nobody guesses 256 bits. */
#include "drivers-vm/control/api/auth.h"

#include "drivers-vm/control/api/platform.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/store/store.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX       "hilum_"
#define KEY_PREFIX   "token/"
#define RECORD_BYTES 128u
#define SECOND_NS    1000000000u

static struct auth_token tokens[AUTH_TOKENS_MAX];
static uint64_t last_serial;

static const char *const role_names[] = { "", "viewer", "operator", "admin" };

const char *auth_role_name(enum auth_role role)
{
	return role_names[role];
}

bool auth_find_role(const char *name, enum auth_role *role)
{
	for (unsigned i = AUTH_VIEWER; i <= AUTH_ADMIN; i++) {
		if (strcmp(role_names[i], name) != 0)
			continue;
		*role = (enum auth_role)i;
		return true;
	}
	return false;
}

bool auth_is_name(const char *name, size_t bytes)
{
	size_t length = strnlen(name, bytes);

	if (length == 0 || length >= bytes || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
			return false;
	return true;
}

/* ---- Records in the store: "1 ROLE CREATED DIGEST", the digest in hexadecimal ------------------------------------------------------- */

static bool parse_digest(const char *text, uint8_t digest[DIGEST_SHA256_BYTES])
{
	char pair[3] = "";

	if (strlen(text) != 2 * DIGEST_SHA256_BYTES)
		return false;
	for (unsigned i = 0; i < DIGEST_SHA256_BYTES; i++) {
		memcpy(pair, text + 2 * i, 2);
		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
			return false;
		digest[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

static bool parse_record(char *text, struct auth_token *token)
{
	char *role = strchr(text, ' '), *created = role == NULL ? NULL : strchr(role + 1, ' ');
	char *digest = created == NULL ? NULL : strchr(created + 1, ' ');

	if (digest == NULL)
		return false;
	*role++ = *created++ = *digest++ = '\0';
	token->created_s = strtoull(created, NULL, 10);
	return strcmp(text, "1") == 0 && auth_find_role(role, &token->role) && parse_digest(digest, token->digest);
}

static bool put_record(const struct auth_token *token)
{
	char key[STORE_KEY_BYTES], text[RECORD_BYTES];
	int used = snprintf(text, sizeof(text), "1 %s %" PRIu64 " ", auth_role_name(token->role), token->created_s);

	for (unsigned i = 0; i < DIGEST_SHA256_BYTES && (size_t)used < sizeof(text); i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "%02x", token->digest[i]);
	snprintf(key, sizeof(key), KEY_PREFIX "%s", token->name);
	return (size_t)used < sizeof(text) && store_put(key, text, (size_t)used, 0);
}

static struct auth_token *find(const char *name)
{
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		if (tokens[i].serial != 0 && strcmp(tokens[i].name, name) == 0)
			return &tokens[i];
	return NULL;
}

static struct auth_token *find_free(void)
{
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		if (tokens[i].serial == 0)
			return &tokens[i];
	return NULL;
}

static void load_one(const char *key)
{
	struct auth_token token = { 0 }, *place = find_free();
	const char *name = key + strlen(KEY_PREFIX);
	char text[RECORD_BYTES];
	size_t bytes;
	const void *value = store_get(key, &bytes);

	if (value == NULL || bytes >= sizeof(text) || place == NULL || !auth_is_name(name, AUTH_TOKEN_NAME_BYTES))
		return;
	memcpy(text, value, bytes);
	text[bytes] = '\0';
	if (!parse_record(text, &token))
		return;
	snprintf(token.name, sizeof(token.name), "%.31s", name);
	token.serial = ++last_serial;
	*place = token;
}

void auth_load(void)
{
	char key[STORE_KEY_BYTES] = "";
	const char *next;

	memset(tokens, 0, sizeof(tokens));
	while ((next = store_next(KEY_PREFIX, key)) != NULL) {
		snprintf(key, sizeof(key), "%s", next);
		load_one(key);
	}
}

const struct auth_token *auth_at(unsigned index)
{
	return index < AUTH_TOKENS_MAX && tokens[index].serial != 0 ? &tokens[index] : NULL;
}

enum auth_result auth_create(const char *name, enum auth_role role, char token[API_TOKEN_BYTES])
{
	struct auth_token *place = find_free(), made = { .role = role };
	uint8_t secret[32];
	struct manager_host host;

	if (find(name) != NULL)
		return AUTH_EXISTS;
	if (place == NULL)
		return AUTH_FULL;
	if (!api_random(secret, sizeof(secret)))
		return AUTH_FAILED;
	memcpy(token, PREFIX, strlen(PREFIX));
	digest_base64url(secret, token + strlen(PREFIX));
	digest_sha256(token, API_TOKEN_BYTES - 1, made.digest);
	manager_host(&host);
	made.created_s = host.wall_clock_ns / SECOND_NS;
	snprintf(made.name, sizeof(made.name), "%s", name);
	if (!put_record(&made))
		return AUTH_FAILED;
	made.serial = ++last_serial;
	*place = made;
	return AUTH_OK;
}

enum auth_result auth_remove(const char *name)
{
	struct auth_token *token = find(name);
	char key[STORE_KEY_BYTES];
	unsigned admins = 0;

	if (token == NULL)
		return AUTH_NOT_FOUND;
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		admins += tokens[i].serial != 0 && tokens[i].role == AUTH_ADMIN;
	if (token->role == AUTH_ADMIN && admins == 1)
		return AUTH_LAST_ADMIN;
	snprintf(key, sizeof(key), KEY_PREFIX "%s", name);
	store_remove(key);
	memset(token, 0, sizeof(*token));
	return AUTH_OK;
}

int auth_check(const char *secret, size_t length)
{
	uint8_t digest[DIGEST_SHA256_BYTES];
	int found = -1;

	if (length != API_TOKEN_BYTES - 1)
		return -1;
	digest_sha256(secret, length, digest);
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		found = digest_equal(tokens[i].digest, digest) && tokens[i].serial != 0 ? (int)i : found;
	return found;
}

bool api_first_token(char token[API_TOKEN_BYTES])
{
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		if (tokens[i].serial != 0)
			return false;
	return auth_create("first", AUTH_ADMIN, token) == AUTH_OK;
}
