/* The address of a machine: what people write, and what is made of it. Pure. */
#ifndef TOOLS_CLI_ADDRESS_H
#define TOOLS_CLI_ADDRESS_H

#include <stdbool.h>

struct address {
	char host[256]; /* a name or an address, IPv6 in brackets */
	unsigned port;
	char authority[264]; /* "host:port", as known_hosts has it */
	char url[280];       /* "https://host:port", without a slash behind it */
};

/* Reads HOST, HOST:PORT or https://HOST[:PORT][/]. Other schemes, paths, user names and whatever no host name has are refused. */
bool address_parse(const char *text, struct address *out);

#endif
