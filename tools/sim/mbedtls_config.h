/* mbedTLS as the simulator and the unit tests of the API use it: digests only. */
#ifndef TOOLS_SIM_MBEDTLS_CONFIG_H
#define TOOLS_SIM_MBEDTLS_CONFIG_H

#define MBEDTLS_SHA1_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_BASE64_C

#endif
