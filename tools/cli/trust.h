/*
 * Is this the machine that it was the last time? As with ssh: the first time the certificate's fingerprint is shown, to be compared with
 * the machine's screen; then its public key is remembered in ~/.config/hilum/known_hosts, a line "HOST:PORT sha256//BASE64" for each
 * machine, and nothing else is spoken to. A certificate may be renewed for the same key.
 */
#ifndef TOOLS_CLI_TRUST_H
#define TOOLS_CLI_TRUST_H

#include "tools/cli/http.h"

/* Fills session->pin: from known_hosts, or for a new machine if HILUM_FINGERPRINT, `accept_new` or somebody at the terminal agrees.
 * CLI_UNTRUSTED: nobody does. */
enum cli_exit trust_establish(struct http_session *session, bool accept_new);

/* Its key is not the pinned one: says so, and what to do. Returns CLI_UNTRUSTED. */
enum cli_exit trust_report_change(const struct http_session *session);

/* Remembers another key for the machine: it was given a new certificate by ourselves. */
bool trust_replace(const struct http_session *session, const char *pin);

/* Forgets a machine; *found: it was known. False: the file cannot be written, and that was said. */
bool trust_forget(const char *authority, bool *found);

#endif
