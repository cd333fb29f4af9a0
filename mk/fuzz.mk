## make fuzz-PART       fuzz one part (tests/fuzz/fuzz_PART.c) with FUZZ_RUNS inputs; scripts/test runs them all
## make fuzz-build      build/fuzz/fuzz_*, all of them
# A target names what it is made of in comment lines, as a unit test does: "FUZZ_SOURCES: a.c b.c", "FUZZ_FLAGS: -I… -D…", and what it wants
# of libFuzzer, "FUZZ_OPTIONS: -max_len=…". Libraries that several of them link are archives, build/fuzz/lib/NAME.a.
FUZZ_RUNS    ?= 1000000
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_CC      := clang -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I. -Iinclude
FUZZ_TAG      = $(shell sed -n 's/.*$(2): *\([^*]*[^* ]\).*/\1/p' $(1))

.PHONY: fuzz-build $(FUZZ_TARGETS:$(B)/fuzz/fuzz_%=fuzz-%)
fuzz-build: $(FUZZ_TARGETS)

.SECONDEXPANSION:
$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $$(call FUZZ_TAG,tests/fuzz/fuzz_$$*.c,FUZZ_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(FUZZ_CC) -w -fsanitize=fuzzer $(call FUZZ_TAG,$<,FUZZ_FLAGS) -o $@ $< $(call FUZZ_TAG,$<,FUZZ_SOURCES)
	$(Q)$(FUZZ_CC) -w $(call FUZZ_TAG,$<,FUZZ_FLAGS) -MM -MP -MT $@ $< $(filter %.c,$(call FUZZ_TAG,$<,FUZZ_SOURCES)) >$@.d
	$(Q)printf '%s:\n' $< $(filter %.c,$(call FUZZ_TAG,$<,FUZZ_SOURCES)) >>$@.d

# The corpus is read, not written: what is found goes to build/fuzz/found/PART/.
$(FUZZ_TARGETS:$(B)/fuzz/fuzz_%=fuzz-%): fuzz-%: $(B)/fuzz/fuzz_%
	$(Q)python3 scripts/lib/fuzz.py $* --runs $(FUZZ_RUNS)

# ---- Libraries: what each is made of and with; other fragments set these variables, perhaps after this one ----
FUZZ_LIBS = lwip lwip-control mbedtls api api_fakes kernel_fake backends_fake
# lwIP reads its headers as packed structures at odd addresses: no check of alignment.
FUZZ_SOURCES_lwip         = $(LWIP_NAMES:%=$(LWIP)/%.c)
FUZZ_FLAGS_lwip           = -fno-sanitize=alignment $(LWIP_INCLUDE)
FUZZ_SOURCES_lwip-control = $(CLWIP_NAMES:%=cache/lwip/src/%.c)
FUZZ_FLAGS_lwip-control   = -fno-sanitize=alignment $(CLWIP_INCLUDE) $(CLWIP_NO_CHECKSUMS)
FUZZ_SOURCES_mbedtls      = $(MBEDTLS_NAMES:%=$(MBEDTLS)/%.c)
FUZZ_FLAGS_mbedtls        = $(MBEDTLS_INCLUDE)
FUZZ_SOURCES_api          = $(API_SRC)
FUZZ_FLAGS_api            = $(MBEDTLS_INCLUDE)
FUZZ_SOURCES_api_fakes    = $(wildcard tools/sim/fake_*.c)
FUZZ_FLAGS_api_fakes      = $(MBEDTLS_INCLUDE)
# The kernel core on a pretended machine, as the unit tests link it.
FUZZ_SOURCES_kernel_fake  = $(KUNIT_SRC)
FUZZ_FLAGS_kernel_fake    = $(shell cat tests/unit/fake_kernel/fake.flags)
FUZZ_SOURCES_backends_fake = $(KBACKEND_SRC)
FUZZ_FLAGS_backends_fake   = $(KBACKEND_FLAGS) $(FUZZ_FLAGS_kernel_fake)

fuzz_objects = $(patsubst %.c,$(B)/fuzz/lib/$(1)/%.o,$(FUZZ_SOURCES_$(1)))
define FUZZ_LIBRARY
$(B)/fuzz/lib/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(Q)$$(FUZZ_CC) -w -fsanitize=fuzzer-no-link $$(FUZZ_FLAGS_$(1)) -MMD -MP -MF $$(@:.o=.d) -c -o $$@ $$<
$(B)/fuzz/lib/$(1).a: $$$$(call fuzz_objects,$(1))
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach library,$(FUZZ_LIBS),$(eval $(call FUZZ_LIBRARY,$(library))))

# Sources that a fetch brings are older than its VERSION, which is to compile them once and not at each make.
cache/lwip/src/%.c: | cache/lwip/VERSION ;
$(B)/fuzz/lib/api/%.o $(B)/fuzz/lib/api_fakes/%.o: | cache/mbedtls/VERSION
