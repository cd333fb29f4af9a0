/*
 * Which machine, and with which token: from the options, the environment (HILUM_HOST, HILUM_TOKEN) and ~/.config/hilum/config, a TOML file
 * that `hilum login` writes:
 *
 *	default = "lab"
 *
 *	[host.lab]
 *	url = "https://192.168.1.20"
 *	token = "hilum_..."
 *	ca = "system"			# or a file with certificates; else the machine's key is pinned
 */
#ifndef TOOLS_CLI_SETTINGS_H
#define TOOLS_CLI_SETTINGS_H

#include "tools/cli/address.h"
#include "tools/cli/cli.h"

#define SETTINGS_HOSTS_MAX 64

struct settings_host {
	char *name, *url, *token, *ca; /* token and ca may be NULL */
};

struct settings {
	char *chosen; /* name of the host that is used when none is named, or NULL */
	unsigned count;
	struct settings_host hosts[SETTINGS_HOSTS_MAX];
};

/* Where a command goes. */
struct target {
	struct address address;
	char *token; /* or NULL */
	char *ca;    /* "system", a file, or NULL: its key is pinned */
};

/* The file, or no hosts if there is none. What is wrong with it is said (CLI_USAGE). */
enum cli_exit settings_read(struct settings *out);
/* Checks what settings_read reads, in text of the file `path`; pure. */
enum cli_exit settings_parse(const char *path, const char *text, size_t length, struct settings *out);
/* Adds or replaces the host of this name. */
enum cli_exit settings_store(struct settings *settings, const char *name, const struct target *target, bool make_default);
/* The text of the file, for free(). */
char *settings_format(const struct settings *settings);
void settings_free(struct settings *settings);

/* --host or HILUM_HOST, by name or address, or the default; HILUM_TOKEN, or the token that is stored for it. */
enum cli_exit settings_choose(const struct settings *settings, const struct cli_options *options, struct target *out);
void settings_free_target(struct target *target);

/* "hilum_" and 43 characters of base64url. */
bool settings_is_token(const char *text);

#endif
