# Instruction bytes assembled for the decoder's tests: nasm is their independent witness of length.
$(B)/unit/insn_%_cases.o: tests/unit/insn_%_cases.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	$(Q)$(NASM) -f elf64 -o $@ $<

.PRECIOUS: $(B)/unit/insn_%_cases.o
