/* The check of signatures. It is there in kernels only that are made with SIGNING_KEY. */
#ifndef KERNEL_SIGNATURE_H
#define KERNEL_SIGNATURE_H

#include "arch/x86_64/types.h"

#define SIGNATURE_WORDS 48u /* 3072 bits */

/*
 * Numbers, the lowest word first, generated when the kernel is made (mk/signature.awk): the key's modulus, whose highest bit is set, and
 * what a signature opens to, with the hash in the lowest four words. RFC 8017, 9.2 EMSA-PKCS1-v1_5.
 */
extern const uint64_t signature_key[SIGNATURE_WORDS], signature_padding[SIGNATURE_WORDS];

/* boot_refuse()s unless control VM, driver VM and configuration are there and signed. NULL in a kernel without a key. */
void signature_check(void) __attribute__((weak));

#endif
