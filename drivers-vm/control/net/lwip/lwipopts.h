/*
 * lwIP as the control VM uses it: TCP and UDP over IPv4 and IPv6 on one card, an address by DHCP or SLAAC, and its name by mDNS. No
 * threads, no sockets; every pool is of fixed size, so that strangers cannot take more than that. web.c bounds what TCP takes from the heap.
 */
#ifndef DRIVERS_VM_CONTROL_NET_LWIP_LWIPOPTS_H
#define DRIVERS_VM_CONTROL_NET_LWIP_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_SINGLE_NETIF    1
#define LWIP_NETIF_LOOPBACK  0
#define LWIP_HAVE_LOOPIF     0
#define LWIP_STATS           0
#define LWIP_RAW             0

#define LWIP_IPV4                      1
#define LWIP_ARP                       1
#define ETHARP_SUPPORT_STATIC_ENTRIES  0
#define ARP_TABLE_SIZE                 32
#define ARP_QUEUEING                   1
#define ARP_QUEUE_LEN                  4
#define LWIP_ICMP                      1
#define LWIP_IGMP                      1 /* mDNS */
#define IP_FORWARD                     0
#define IP_REASSEMBLY                  0 /* nothing that is spoken here comes in fragments */
#define IP_FRAG                        0
#define LWIP_DHCP                      1
#define LWIP_NETIF_HOSTNAME            1
#define LWIP_DNS                       1
#define DNS_MAX_SERVERS                2
#define LWIP_IPV6                      1
#define LWIP_ICMP6                     1
#define LWIP_IPV6_MLD                  1
#define LWIP_IPV6_AUTOCONFIG           1
#define LWIP_IPV6_FORWARD              0
#define LWIP_IPV6_FRAG                 0
#define LWIP_IPV6_REASS                0
#define LWIP_IPV6_DHCP6                0
#define LWIP_ND6_QUEUEING              1
#define MEMP_NUM_ND6_QUEUE             32
#define LWIP_MDNS_RESPONDER            1
#define MDNS_MAX_SERVICES              1
#define LWIP_NUM_NETIF_CLIENT_DATA     1
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#define MDNS_RESP_USENETIF_EXTCALLBACK 1

#define LWIP_UDP            1
#define LWIP_TCP            1
#define TCP_MSS             1440           /* as much as IPv6 allows on Ethernet */
#define TCP_WND             (22 * TCP_MSS) /* more than one TLS record, and no more than HTTP_RECEIVE_WINDOW */
#define TCP_SND_BUF         (16 * TCP_MSS)
#define TCP_SND_QUEUELEN    64
#define TCP_LISTEN_BACKLOG  1
#define TCP_QUEUE_OOSEQ     1
#define TCP_OOSEQ_MAX_PBUFS 8
#define LWIP_TCP_KEEPALIVE  1
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_SACK_OUT   0

#define MEM_ALIGNMENT            8
#define MEM_LIBC_MALLOC          1 /* PBUF_RAM, of which each connection has TCP_SND_BUF at most */
#define MEMP_NUM_TCP_PCB_LISTEN  2
#define MEMP_NUM_TCP_PCB         320 /* web.c's connections, those that are not yet open, those that wait for stray segments */
#define MEMP_NUM_TCP_SEG         2048
#define MEMP_NUM_UDP_PCB         8
#define MEMP_NUM_ARP_QUEUE       32
#define MEMP_NUM_PBUF            64
#define MEMP_NUM_IGMP_GROUP      8
#define MEMP_NUM_MLD6_GROUP      8
#define MEMP_NUM_SYS_TIMEOUT     (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 8)
#define PBUF_POOL_SIZE           768
#define PBUF_POOL_BUFSIZE        1536
#define LWIP_SUPPORT_CUSTOM_PBUF 0

#define LWIP_HOOK_FILENAME "drivers-vm/control/net/stack_hooks.h"
#define LWIP_HOOK_TCP_ISN  stack_tcp_isn

#endif
