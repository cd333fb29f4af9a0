## make unit            build and run the unit tests (tests/unit/test_*.c) under ASan and UBSan
# A test names what it links in two comment lines: "UNIT_SOURCES: a.c b.c" and, optionally, "UNIT_FLAGS: -I… -D…".
# What each file includes is asked for apart: of several files that are compiled at once, -MF keeps the last one's answer only. -MP gives rules
# to headers; sources get theirs here: without one, a tree that was built before a source went could not be built any more.
# tests/unit/fake/ comes first in the include path, so a fake header there stands in for the real one.
UNIT_TESTS  := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
# Another B and UNIT_CHECKS make them with something else than sanitisers, as scripts/coverage does.
UNIT_CHECKS := -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_CFLAGS := -std=gnu11 -O1 -g1 -fno-omit-frame-pointer $(filter-out -Wmissing-prototypes,$(WARN)) -Itests/unit/fake -I. -Iinclude $(UNIT_CHECKS)
unit_tag = $(patsubst build/%,$(B)/%,$(shell sed -n 's/.*$(2): *\([^*]*[^* ]\).*/\1/p' $(1)))

.PHONY: unit unit-build
unit-build: $(UNIT_TESTS)
unit: unit-build
	@for t in $(UNIT_TESTS); do $$t || exit 1; done

.SECONDEXPANSION:
$(B)/unit/test_%: tests/unit/test_%.c $$(call unit_tag,tests/unit/test_$$*.c,UNIT_SOURCES) $$(wildcard tests/unit/fake/*)
	@mkdir -p $(@D)
	@echo "  UNIT  $<"
	$(Q)$(CC) $(UNIT_CFLAGS) $(call unit_tag,$<,UNIT_FLAGS) -o $@ $< $(call unit_tag,$<,UNIT_SOURCES) -lcmocka \
		$(filter -l%,$(call unit_tag,$<,UNIT_FLAGS))
	$(Q)$(CC) $(UNIT_CFLAGS) $(call unit_tag,$<,UNIT_FLAGS) -MM -MP -MT $@ $< $(filter %.c,$(call unit_tag,$<,UNIT_SOURCES)) >$@.d
	$(Q)printf '%s:\n' $< $(filter %.c,$(call unit_tag,$<,UNIT_SOURCES)) >>$@.d
