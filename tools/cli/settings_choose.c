/* The choice of a machine and a token among options, environment and configuration. */
#include "tools/cli/settings.h"
#include "tools/cli/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || *value == '\0' ? NULL : value;
}

/* The stored host of this name, or the one at this address. */
static const struct settings_host *find_host(const struct settings *settings, const char *wanted)
{
	struct address address, other;

	for (unsigned i = 0; i < settings->count; i++) {
		if (strcmp(settings->hosts[i].name, wanted) == 0)
			return &settings->hosts[i];
	}
	if (!address_parse(wanted, &address))
		return NULL;
	for (unsigned i = 0; i < settings->count; i++) {
		if (address_parse(settings->hosts[i].url, &other) && strcmp(other.authority, address.authority) == 0)
			return &settings->hosts[i];
	}
	return NULL;
}

static const char *choose_wanted(const struct settings *settings, const struct cli_options *options)
{
	if (options->host != NULL)
		return options->host;
	if (environment("HILUM_HOST") != NULL)
		return environment("HILUM_HOST");
	if (settings->chosen != NULL)
		return settings->chosen;
	return settings->count == 1 ? settings->hosts[0].name : NULL;
}

enum cli_exit settings_choose(const struct settings *settings, const struct cli_options *options, struct target *out)
{
	const char *wanted = choose_wanted(settings, options);
	const struct settings_host *host;
	const char *token, *ca;

	*out = (struct target){ 0 };
	if (wanted == NULL) {
		cli_error("which machine? Name it by --host or HILUM_HOST, or store it by `hilum login HOST`");
		return CLI_USAGE;
	}
	host = find_host(settings, wanted);
	if (!address_parse(host == NULL ? wanted : host->url, &out->address)) {
		cli_error("\"%s\" is neither a stored host nor an address such as 192.168.1.20, hilum.local:8443 or https://[fd00::1]",
		          wanted);
		return CLI_USAGE;
	}
	token = environment("HILUM_TOKEN");
	if (token == NULL && host != NULL)
		token = host->token;
	if (token != NULL && !settings_is_token(token)) {
		cli_error("%s is no token: those begin with \"hilum_\", and 43 characters follow",
		          environment("HILUM_TOKEN") != NULL ? "HILUM_TOKEN" : "what is stored for this host");
		return CLI_USAGE;
	}
	ca = options->ca != NULL ? options->ca : host != NULL ? host->ca : NULL;
	out->token = token == NULL ? NULL : memory_copy_string(token);
	out->ca = ca == NULL ? NULL : memory_copy_string(ca);
	return CLI_OK;
}

void settings_free_target(struct target *target)
{
	free(target->token);
	free(target->ca);
	*target = (struct target){ 0 };
}
