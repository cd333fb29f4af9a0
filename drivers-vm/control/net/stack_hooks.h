/* What lwIP asks of the control VM beyond its usual surroundings; included by lwIP's own files (LWIP_HOOK_FILENAME). */
#ifndef DRIVERS_VM_CONTROL_NET_STACK_HOOKS_H
#define DRIVERS_VM_CONTROL_NET_STACK_HOOKS_H

#include "lwip/ip_addr.h"

/* The first sequence number of a connection: a clock, and a number that only somebody with our secret can tell (RFC 6528). */
u32_t stack_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip, u16_t remote_port);

#endif
