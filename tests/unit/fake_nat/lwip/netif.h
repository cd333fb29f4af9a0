/* As much of lwIP's types as a gateway's structure needs: the tests of nat.c have no lwIP. */
#ifndef TESTS_UNIT_FAKE_NAT_NETIF_H
#define TESTS_UNIT_FAKE_NAT_NETIF_H

#include <stdint.h>

typedef struct {
	uint32_t addr;
} ip4_addr_t;

struct netif {
	int number;
};

struct pbuf;

uint32_t lwip_random(void);

#endif
