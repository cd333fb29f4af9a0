# mbedTLS, with which the control VM speaks TLS (drivers-vm/control/net/). Its source is Debian's, in cache/mbedtls, which
# scripts/fetch-mbedtls fills once. What nothing refers to is left out by the linker.
MBEDTLS         := cache/mbedtls/library
MBEDTLS_NAMES   := aes asn1parse asn1write base64 bignum chacha20 chachapoly cipher cipher_wrap constant_time ctr_drbg ecdh ecdsa ecp \
	ecp_curves entropy gcm hmac_drbg md oid pem pk pk_wrap pkparse pkwrite platform_util poly1305 sha1 sha256 sha512 ssl_cache ssl_ciphersuites ssl_msg \
	ssl_srv ssl_tls x509 x509_create x509_crt x509write_crt
MBEDTLS_INCLUDE := -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>' -isystem cache/mbedtls/include
MBEDTLS_OBJ     := $(MBEDTLS_NAMES:%=$(B)/mbedtls/%.o)
# Ours are compiled with our warnings, mbedTLS's own files with the compiler's defaults.
MBEDTLS_CFLAGS   = $(filter-out $(WARN),$(SERVICE_CFLAGS)) $(MBEDTLS_INCLUDE)

cache/mbedtls/VERSION: scripts/fetch-mbedtls
	@scripts/fetch-mbedtls
	@touch $@

$(MBEDTLS_OBJ): $(B)/mbedtls/%.o: cache/mbedtls/VERSION drivers-vm/control/net/mbedtls/mbedtls_config.h
	@mkdir -p $(@D)
	@echo "  CC    $(MBEDTLS)/$*.c"
	$(Q)$(CC) $(MBEDTLS_CFLAGS) $(subst -MMD,-MD,$(DEPS)) -c -o $@ $(MBEDTLS)/$*.c

$(B)/mbedtls.a: $(MBEDTLS_OBJ)
	@rm -f $@
	@ar rcs $@ $^

# Any part of the control VM may include mbedTLS's headers; the compiler does not list a system header's own ones.
CONTROL_OBJ := $(filter $(B)/service/drivers-vm/control/%,$(call service_obj,$(CONTROL_SRC)))
$(CONTROL_OBJ): SERVICE_CFLAGS += $(MBEDTLS_INCLUDE)
$(CONTROL_OBJ): cache/mbedtls/VERSION drivers-vm/control/net/mbedtls/mbedtls_config.h

# The same for the host: unit tests that need it link this.
$(B)/unit/mbedtls/%.o: $(MBEDTLS)/%.c cache/mbedtls/VERSION drivers-vm/control/net/mbedtls/mbedtls_config.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all $(MBEDTLS_INCLUDE) -c -o $@ $<

# Order only: the sources are older than VERSION, which is to compile them once and not at each make.
$(MBEDTLS)/%.c: | cache/mbedtls/VERSION ;

$(B)/unit/mbedtls.a: $(MBEDTLS_NAMES:%=$(B)/unit/mbedtls/%.o)
	@rm -f $@
	@ar rcs $@ $^
