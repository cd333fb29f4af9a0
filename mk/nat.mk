## make fuzz-nat         fuzz the address translation and lwIP beside it (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_NAT_SOURCES := tests/fuzz/fuzz_nat.c $(addprefix drivers-vm/driver/,nat_stack.c nat_gateway.c nat_packet.c nat_flow.c nat_hosts.c nat_dhcp.c \
	net_switch.c net_filter.c net_offload.c io_segment.c)
.PHONY: fuzz-nat
# lwIP reads its headers as packed structures at odd addresses: no check of alignment.
$(B)/fuzz/fuzz_nat: $(FUZZ_NAT_SOURCES) cache/lwip/VERSION
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -w -fsanitize=fuzzer,address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all -I. -Iinclude \
		-Idrivers-vm/driver/lwip -I$(LWIP)/include -o $@ $(FUZZ_NAT_SOURCES) $(LWIP_NAMES:%=$(LWIP)/%.c)
fuzz-nat: $(B)/fuzz/fuzz_nat
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=2048 -len_control=0 -verbosity=0
