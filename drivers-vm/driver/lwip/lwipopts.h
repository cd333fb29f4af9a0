/*
 * lwIP as the gateway of the address translation uses it: ARP, IPv4, ICMP echoes, UDP, a DHCP client. No TCP,
 * no threads, no sockets; all memory is of fixed size.
 */
#ifndef DRIVERS_VM_DRIVER_LWIP_LWIPOPTS_H
#define DRIVERS_VM_DRIVER_LWIP_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_IPV4            1
#define LWIP_IPV6            0
#define LWIP_TCP             0
#define LWIP_UDP             1
#define LWIP_RAW             0
#define LWIP_ICMP            1
#define LWIP_ARP             1
#define LWIP_DHCP            1
#define DHCP_DOES_ARP_CHECK  0
#define LWIP_DNS             1 /* for the server that DHCP names; lwIP asks it nothing */
#define DNS_MAX_SERVERS      1
#define DNS_TABLE_SIZE       2
#define LWIP_NETIF_HOSTNAME  1
#define LWIP_NETIF_LOOPBACK  0
#define LWIP_HAVE_LOOPIF     0
#define LWIP_STATS           0
#define IP_FORWARD           0
#define IP_REASSEMBLY        1 /* for icmp_time_exceeded, which comes with it: no fragment gets as far */
#define IP_FRAG              0
#define ARP_TABLE_SIZE       32
#define ARP_QUEUEING         1
#define ARP_QUEUE_LEN        4

#define MEM_ALIGNMENT      8
#define MEM_SIZE           65536
#define MEMP_NUM_UDP_PCB   20
#define MEMP_NUM_ARP_QUEUE 64
#define MEMP_NUM_PBUF      32
#define PBUF_POOL_SIZE     96
#define PBUF_POOL_BUFSIZE  1600

#endif
