## make fuzz-stack      fuzz the control VM's TCP/IP, mDNS, DHCP and TLS (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_STACK_SOURCES := tests/fuzz/fuzz_stack.c $(addprefix drivers-vm/control/,entropy.c $(addprefix net/,stack.c web.c web_tls.c identity.c certificate.c))
.PHONY: fuzz-stack
# lwIP reads its headers as packed structures at odd addresses: no check of alignment.
$(B)/fuzz/fuzz_stack: $(FUZZ_STACK_SOURCES) cache/lwip/VERSION cache/mbedtls/VERSION $(CLWIP_HEADERS) drivers-vm/control/net/mbedtls/mbedtls_config.h
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -w -fsanitize=fuzzer,address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all -I. -Iinclude \
		-iquote tests/unit/fake_host_pci -Idrivers-vm/control/net/lwip -Icache/lwip/src/include $(MBEDTLS_INCLUDE) $(CLWIP_NO_CHECKSUMS) \
		-o $@ $(FUZZ_STACK_SOURCES) $(CLWIP_NAMES:%=cache/lwip/src/%.c) $(MBEDTLS_NAMES:%=$(MBEDTLS)/%.c)
fuzz-stack: $(B)/fuzz/fuzz_stack
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=4096 -len_control=0 -verbosity=0
