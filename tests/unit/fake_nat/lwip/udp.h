/* See netif.h. */
struct udp_pcb;
