## make tools           build/hilum, the command line for workstations
HILUM_SRC := tools/hilum-check.c $(addprefix drivers-vm/control/,config.c config_field.c config_devices.c config_uplink.c config_api.c config_address.c config_suggest.c toml.c \
	toml_scalar.c toml_string.c toml_value.c guest_map.c)

.PHONY: tools
tools: $(B)/hilum
$(B)/hilum: $(HILUM_SRC)
	@mkdir -p $(@D)
	@echo "  TOOL  $@"
	$(Q)$(CC) -std=gnu11 -O2 -g -fstack-protector-strong $(WARN) -I. -Iinclude -MMD -MP -MF $@.d -o $@ $(HILUM_SRC)
