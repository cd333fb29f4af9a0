# lwIP as the control VM uses it, with TCP and IPv6 (drivers-vm/control/net/lwip/lwipopts.h). The source is that of mk/lwip.mk.
CLWIP_NAMES   := core/def core/dns core/inet_chksum core/init core/ip core/mem core/memp core/netif core/pbuf core/tcp core/tcp_in core/tcp_out \
	core/timeouts core/udp core/ipv4/dhcp core/ipv4/etharp core/ipv4/icmp core/ipv4/igmp core/ipv4/ip4 core/ipv4/ip4_addr \
	core/ipv6/ethip6 core/ipv6/icmp6 core/ipv6/ip6 core/ipv6/ip6_addr core/ipv6/mld6 core/ipv6/nd6 netif/ethernet apps/mdns/mdns
CLWIP_INCLUDE := -Idrivers-vm/control/net/lwip -Idrivers-vm/lib/lwip -isystem cache/lwip/src/include
CLWIP_OBJ     := $(CLWIP_NAMES:%=$(B)/lwip-control/%.o)
CLWIP_CFLAGS   = $(filter-out $(WARN),$(SERVICE_CFLAGS)) $(CLWIP_INCLUDE)
CLWIP_HEADERS := drivers-vm/control/net/lwip/lwipopts.h drivers-vm/lib/lwip/arch/cc.h

$(CLWIP_OBJ): $(B)/lwip-control/%.o: cache/lwip/VERSION $(CLWIP_HEADERS)
	@mkdir -p $(@D)
	@echo "  CC    cache/lwip/src/$*.c (control)"
	$(Q)$(CC) $(CLWIP_CFLAGS) $(subst -MMD,-MD,$(DEPS)) -c -o $@ cache/lwip/src/$*.c

$(B)/lwip-control.a: $(CLWIP_OBJ)
	@rm -f $@
	@ar rcs $@ $^

CNET_OBJ := $(filter $(B)/service/drivers-vm/control/net/%,$(call service_obj,$(CONTROL_SRC)))
$(CNET_OBJ): SERVICE_CFLAGS += $(CLWIP_INCLUDE)
$(CNET_OBJ): cache/lwip/VERSION $(CLWIP_HEADERS)

# The same for the host: unit tests that need it link this. lwIP reads its headers as packed structures at odd addresses; whoever makes a
# frame can make its checksum, so these are not looked at.
CLWIP_NO_CHECKSUMS := -DCHECKSUM_CHECK_IP=0 -DCHECKSUM_CHECK_UDP=0 -DCHECKSUM_CHECK_TCP=0 -DCHECKSUM_CHECK_ICMP=0 -DCHECKSUM_CHECK_ICMP6=0
$(B)/unit/lwip-control/%.o: cache/lwip/VERSION $(CLWIP_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -g -w -fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all -I. $(CLWIP_INCLUDE) \
		$(CLWIP_NO_CHECKSUMS) -c -o $@ cache/lwip/src/$*.c

$(B)/unit/lwip-control.a: $(CLWIP_NAMES:%=$(B)/unit/lwip-control/%.o)
	@rm -f $@
	@ar rcs $@ $^
