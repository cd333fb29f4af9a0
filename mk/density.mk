# build/guest/heartbeat.elf, the guest of which tests/system and scripts/bench run hundreds; made with the test guests.
$(B)/guest/heartbeat.elf: tests/guest/heartbeat/heartbeat.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	$(Q)$(NASM) -f elf64 -o $@.o $<
	$(Q)$(LD) -n -static --no-warn-rwx-segments -Ttext=0x100000 -e heartbeat -o $@ $@.o

guests: $(B)/guest/heartbeat.elf
