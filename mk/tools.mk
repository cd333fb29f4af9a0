## make tools           build/hilum, the command line for workstations
## make install         installs it, with man page and completions, below DESTDIR and PREFIX (/usr/local)
## make deb             build/hilum_VERSION_ARCHITECTURE.deb, the same as a Debian package
# `hilum check` is the code that reads hilum.toml at boot; the rest is tools/cli/.
HILUM_VERSION ?= 0.5
HILUM_SHARED  := $(filter-out drivers-vm/control/config_json%,$(wildcard drivers-vm/control/config*.c drivers-vm/control/toml*.c)) \
	drivers-vm/control/guest_map.c
HILUM_SRC     := $(sort $(wildcard tools/cli/*.c)) $(HILUM_SHARED)
HILUM_OBJ     := $(patsubst %.c,$(B)/tools/%.o,$(HILUM_SRC))
HILUM_CFLAGS  := -std=gnu11 -D_GNU_SOURCE -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE $(WARN) -I. -Iinclude
HILUM_LIBS    := -lcurl -ljansson -lcrypto

.PHONY: tools
tools: $(B)/hilum
$(B)/hilum: $(HILUM_OBJ)
	@echo "  TOOL  $@"
	$(Q)$(CC) -pie -Wl,-z,relro,-z,now -o $@ $(HILUM_OBJ) $(HILUM_LIBS)

$(B)/tools/tools/cli/main.o: HILUM_CFLAGS += -DHILUM_VERSION='"$(HILUM_VERSION)"'
$(B)/tools/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $< (tool)"
	$(Q)$(CC) $(HILUM_CFLAGS) $(DEPS) -c -o $@ $<

PREFIX  ?= /usr/local
DESTDIR ?=
# Where zsh looks for completions that do not belong to itself; Debian's packages have a place of their own.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions

.PHONY: install deb
install: $(B)/hilum
	install -D -m 755 $(B)/hilum $(DESTDIR)$(PREFIX)/bin/hilum
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	gzip -9nc docs/hilum.1 >$(DESTDIR)$(PREFIX)/share/man/man1/hilum.1.gz
	chmod 644 $(DESTDIR)$(PREFIX)/share/man/man1/hilum.1.gz
	install -D -m 644 tools/cli/completion/hilum.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hilum
	install -D -m 644 tools/cli/completion/_hilum $(DESTDIR)$(ZSH_COMPLETIONS)/_hilum

deb: $(B)/hilum
	$(Q)tools/cli/make-deb $(HILUM_VERSION) $(B)
