# lwIP, the TCP/IP stack beside the driver VM's address translation (drivers-vm/driver/nat_stack.c). Its source is Debian's, in
# cache/lwip, which scripts/fetch-lwip fills once.
LWIP          := cache/lwip/src
LWIP_NAMES    := core/def core/dns core/inet_chksum core/init core/ip core/mem core/memp core/netif core/pbuf core/timeouts core/udp \
	core/ipv4/dhcp core/ipv4/etharp core/ipv4/icmp core/ipv4/ip4 core/ipv4/ip4_addr core/ipv4/ip4_frag netif/ethernet
LWIP_INCLUDE  := -Idrivers-vm/driver/lwip -Idrivers-vm/lib/lwip -isystem $(LWIP)/include
LWIP_OBJ      := $(LWIP_NAMES:%=$(B)/lwip/%.o)
# Ours are compiled with our warnings, lwIP's own files with the compiler's defaults.
LWIP_CFLAGS    = $(filter-out $(WARN),$(SERVICE_CFLAGS)) $(LWIP_INCLUDE)

cache/lwip/VERSION: scripts/fetch-lwip
	@scripts/fetch-lwip
	@touch $@

$(LWIP_OBJ): $(B)/lwip/%.o: cache/lwip/VERSION
	@mkdir -p $(@D)
	@echo "  CC    $(LWIP)/$*.c"
	$(Q)$(CC) $(LWIP_CFLAGS) $(subst -MMD,-MD,$(DEPS)) -c -o $@ $(LWIP)/$*.c

$(B)/lwip.a: $(LWIP_OBJ)
	@rm -f $@
	@ar rcs $@ $^

# Those of ours that include lwIP's headers; the compiler does not list a system header's own ones.
NAT_OBJ := $(B)/service/drivers-vm/driver/nat.c.o $(B)/service/drivers-vm/driver/nat_stack.c.o
$(NAT_OBJ): SERVICE_CFLAGS += $(LWIP_INCLUDE)
$(NAT_OBJ): cache/lwip/VERSION drivers-vm/driver/lwip/lwipopts.h drivers-vm/lib/lwip/arch/cc.h
