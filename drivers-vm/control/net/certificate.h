/* Makes a key and a self-signed certificate (RFC 5280). Pure, but for random numbers. */
#ifndef DRIVERS_VM_CONTROL_NET_CERTIFICATE_H
#define DRIVERS_VM_CONTROL_NET_CERTIFICATE_H

#include "drivers-vm/control/net/identity.h"

#define CERTIFICATE_KEY_BYTES 256u
#define CERTIFICATE_BYTES     1024u

/* A key on P-256 in DER (SEC 1) at key[0 .. *key_bytes). False: no random numbers. */
bool certificate_make_key(uint8_t key[CERTIFICATE_KEY_BYTES], size_t *key_bytes);

/* A certificate for it in DER, for ten years from `names->now_seconds` on. */
bool certificate_make(const struct tls_names *names, const uint8_t *key, size_t key_bytes, uint8_t certificate[CERTIFICATE_BYTES],
                      size_t *certificate_bytes);

#endif
