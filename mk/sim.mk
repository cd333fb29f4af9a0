## make sim              build/hilum-sim, the API without a machine, for the tests of its clients
# What the API and the definitions of VMs are made of; mbedTLS's digests beside them.
API_SRC     := $(sort $(wildcard drivers-vm/control/api/*.c)) $(addprefix drivers-vm/control/,events.c json.c json_string.c config_json.c \
	config_json_write.c config.c config_field.c config_devices.c config_channel.c config_uplink.c config_api.c config_address.c config_suggest.c toml.c \
	toml_scalar.c toml_string.c toml_value.c guest_map.c vulnerabilities.c)
API_DIGESTS := $(addprefix cache/mbedtls/library/,sha1.c sha256.c base64.c constant_time.c platform_util.c)
SIM_SRC     := $(sort $(wildcard tools/sim/*.c)) $(API_SRC)
SIM_CFLAGS  := -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -I. -Iinclude \
	-isystem cache/mbedtls/include -DMBEDTLS_CONFIG_FILE='"tools/sim/mbedtls_config.h"'

.PHONY: sim
sim: $(B)/hilum-sim
$(B)/hilum-sim: $(SIM_SRC) docs/openapi.yaml cache/mbedtls/VERSION $(B)/web_files.c
	@mkdir -p $(@D)
	@echo "  SIM   $@"
	$(Q)$(CC) $(SIM_CFLAGS) $(WARN) -MMD -MP -MF $@.d -o $@ $(SIM_SRC) $(B)/web_files.c $(API_DIGESTS)

# The same for unit tests, as archives: a test links what it names, and may bring functions of its own for others.
API_UNIT_CFLAGS = $(UNIT_CFLAGS) $(MBEDTLS_INCLUDE)
$(B)/unit/api/%.o: %.c docs/openapi.yaml cache/mbedtls/VERSION
	@mkdir -p $(@D)
	$(Q)$(CC) $(API_UNIT_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(B)/unit/api.a: $(API_SRC:%.c=$(B)/unit/api/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(B)/unit/api_fakes.a: $(patsubst %.c,$(B)/unit/api/%.o,$(sort $(wildcard tools/sim/fake_*.c)))
	@rm -f $@
	@ar rcs $@ $^

# The document is part of the image, by the assembler.
$(B)/service/drivers-vm/control/api/document.c.o: docs/openapi.yaml

# jsmn is one header, of Debian's package libjsmn-dev; nothing else of the system's headers is seen.
$(B)/jsmn/jsmn.h: /usr/include/jsmn.h
	@mkdir -p $(@D)
	@cp $< $@
$(B)/service/drivers-vm/control/json.c.o: SERVICE_CFLAGS += -isystem $(B)/jsmn
$(B)/service/drivers-vm/control/json.c.o: $(B)/jsmn/jsmn.h
