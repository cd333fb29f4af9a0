#include "tools/cli/settings.h"
#include "tools/cli/files.h"
#include "tools/cli/memory.h"
#include "tools/cli/text.h"
#include "tools/cli/toml_text.h"
#include "drivers-vm/control/toml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME        "config"
#define FILE_BYTES_MAX   (1u << 20)
#define TOKEN_PREFIX     "hilum_"
#define TOKEN_CHARACTERS 43

bool settings_is_token(const char *text)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t prefix = strlen(TOKEN_PREFIX);

	return strncmp(text, TOKEN_PREFIX, prefix) == 0 && strlen(text + prefix) == TOKEN_CHARACTERS &&
	       strspn(text + prefix, alphabet) == TOKEN_CHARACTERS;
}

/* Errors of the file are errors of usage: nothing can be done for it without the operator. */
static enum cli_exit fail_at(const char *path, uint32_t line, const struct toml_text *key, const char *what)
{
	char *safe = text_safe(key->bytes, key->length, false);

	cli_error("%s:%" PRIu32 ": %s: %s", path, line, safe, what);
	free(safe);
	return CLI_USAGE;
}

static enum cli_exit take_string(const char *path, const struct toml_value *value, char **out)
{
	if (value->type != TOML_STRING || value->text.length == 0 || memchr(value->text.bytes, '\0', value->text.length) != NULL)
		return fail_at(path, value->key_line, &value->key, "must be a string with something in it");
	free(*out);
	*out = memory_format("%.*s", (int)value->text.length, value->text.bytes);
	return CLI_OK;
}

static enum cli_exit parse_host(const char *path, const struct toml_value *table, struct settings_host *host)
{
	struct address address;
	enum cli_exit status = CLI_OK;

	if (table->type != TOML_TABLE)
		return fail_at(path, table->key_line, &table->key, "must be a table");
	host->name = memory_format("%.*s", (int)table->key.length, table->key.bytes);
	for (const struct toml_value *value = table->children.first; value != NULL && status == CLI_OK; value = value->next) {
		const struct toml_text *key = &value->key;
		char **place = NULL;

		if (key->length == 3 && memcmp(key->bytes, "url", 3) == 0)
			place = &host->url;
		else if (key->length == 5 && memcmp(key->bytes, "token", 5) == 0)
			place = &host->token;
		else if (key->length == 2 && memcmp(key->bytes, "ca", 2) == 0)
			place = &host->ca;
		status = place == NULL ? fail_at(path, value->key_line, key, "unknown key (url, token or ca)")
		                       : take_string(path, value, place);
	}
	if (status == CLI_OK && (host->url == NULL || !address_parse(host->url, &address)))
		status = fail_at(path, table->key_line, &table->key, "has no url of the form \"https://HOST:PORT\"");
	return status;
}

static enum cli_exit parse_hosts(const char *path, const struct toml_value *hosts, struct settings *out)
{
	enum cli_exit status = CLI_OK;

	if (hosts->type != TOML_TABLE)
		return fail_at(path, hosts->key_line, &hosts->key, "must be a table");
	if (hosts->children.count > SETTINGS_HOSTS_MAX)
		return fail_at(path, hosts->key_line, &hosts->key, "has too many hosts");
	for (const struct toml_value *host = hosts->children.first; host != NULL && status == CLI_OK; host = host->next)
		status = parse_host(path, host, &out->hosts[out->count++]);
	return status;
}

enum cli_exit settings_parse(const char *path, const char *text, size_t length, struct settings *out)
{
	struct toml_value *root;
	struct toml_error error;
	struct toml_arena arena;
	enum cli_exit status = CLI_OK;

	*out = (struct settings){ 0 };
	root = toml_text_parse(text, length, &arena, &error);
	if (root == NULL) {
		cli_error("%s:%" PRIu32 ": column %" PRIu32 ": %s", path, error.line, error.column, error.message);
		status = CLI_USAGE;
	}
	for (const struct toml_value *value = root == NULL ? NULL : root->children.first; value != NULL && status == CLI_OK;
	     value = value->next) {
		if (value->key.length == 7 && memcmp(value->key.bytes, "default", 7) == 0)
			status = take_string(path, value, &out->chosen);
		else if (value->key.length == 4 && memcmp(value->key.bytes, "host", 4) == 0)
			status = parse_hosts(path, value, out);
		else
			status = fail_at(path, value->key_line, &value->key, "unknown key (default, or a table [host.NAME])");
	}
	free(arena.base);
	if (status != CLI_OK)
		settings_free(out);
	return status;
}

enum cli_exit settings_read(struct settings *out)
{
	char *path = files_path(FILE_NAME), *text;
	enum cli_exit status = CLI_OK;
	size_t length;
	int error;

	*out = (struct settings){ 0 };
	if (path == NULL)
		return getenv("HILUM_HOST") != NULL ? CLI_OK : CLI_USAGE;
	text = files_read(path, FILE_BYTES_MAX, &length, &error);
	if (text != NULL && files_is_public(path)) {
		cli_error("%s has tokens and can be read by others; do: chmod 600 %s", path, path);
		status = CLI_USAGE;
	} else if (text != NULL) {
		status = settings_parse(path, text, length, out);
	} else if (error != ENOENT) {
		cli_error("%s: %s", path, strerror(error));
		status = CLI_USAGE;
	}
	free(text);
	free(path);
	return status;
}

static void free_host(struct settings_host *host)
{
	free(host->name);
	free(host->url);
	free(host->token);
	free(host->ca);
	*host = (struct settings_host){ 0 };
}

void settings_free(struct settings *settings)
{
	for (unsigned i = 0; i < settings->count; i++)
		free_host(&settings->hosts[i]);
	free(settings->chosen);
	*settings = (struct settings){ 0 };
}

static struct settings_host *find_by_name(const struct settings *settings, const char *name)
{
	for (unsigned i = 0; i < settings->count; i++) {
		if (strcmp(settings->hosts[i].name, name) == 0)
			return (struct settings_host *)&settings->hosts[i];
	}
	return NULL;
}

char *settings_format(const struct settings *settings)
{
	struct memory_buffer text = { 0 };

	toml_text_add(&text, "# Written by `hilum login`; comments are not kept.\n");
	if (settings->chosen != NULL)
		toml_text_add_pair(&text, "default", settings->chosen);
	for (unsigned i = 0; i < settings->count; i++) {
		const struct settings_host *host = &settings->hosts[i];

		toml_text_add(&text, "\n[host.");
		toml_text_add_key(&text, host->name);
		toml_text_add(&text, "]\n");
		toml_text_add_pair(&text, "url", host->url);
		if (host->token != NULL)
			toml_text_add_pair(&text, "token", host->token);
		if (host->ca != NULL)
			toml_text_add_pair(&text, "ca", host->ca);
	}
	return text.bytes;
}

enum cli_exit settings_store(struct settings *settings, const char *name, const struct target *target, bool make_default)
{
	struct settings_host *host = find_by_name(settings, name);
	char *path, *text;
	bool written;

	if (host == NULL && settings->count == SETTINGS_HOSTS_MAX) {
		cli_error("the configuration has %u hosts, and no room for another", SETTINGS_HOSTS_MAX);
		return CLI_USAGE;
	}
	if (host == NULL)
		host = &settings->hosts[settings->count++];
	free_host(host);
	host->name = memory_copy_string(name);
	host->url = memory_copy_string(target->address.url);
	host->token = target->token == NULL ? NULL : memory_copy_string(target->token);
	host->ca = target->ca == NULL ? NULL : memory_copy_string(target->ca);
	if (make_default || settings->chosen == NULL) {
		free(settings->chosen);
		settings->chosen = memory_copy_string(name);
	}
	path = files_path(FILE_NAME);
	text = settings_format(settings);
	written = path != NULL && files_write_private(path, text, strlen(text));
	free(text);
	free(path);
	return written ? CLI_OK : CLI_USAGE;
}
