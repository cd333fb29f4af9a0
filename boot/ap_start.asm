; Start of an application processor: real mode at the trampoline page to ap_main on the core's own stack.
;
; The page is copied below 1 MiB by ap_start_prepare; it is position-independent: CS gives its base. From there the first
; tables' identity map carries the core to the kernel image, whose variables say where to go on.
%include "arch/x86_64/layout.inc"

extern enter_long_mode, boot_gdt, ap_main
extern ap_start_cr3, ap_start_stack_top, ap_start_cpu

section .rodata progbits alloc noexec nowrite align=16
bits 16
; Entry by SIPI.
;   in:      CS:IP = page * 0x100:0, real mode, interrupts off
;   out:     protected mode, flat segments, at ap_start_32
;   clobber: everything
global ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [ap_gdt_pointer - ap_trampoline]
	mov	eax, 0x11                   ; ET, PE; caches stay as INIT left them until enter_long_mode
	mov	cr0, eax
	jmp	dword 0x18:PHYS(ap_start_32)
align 8
ap_gdt_pointer:
	dw 4 * 8 - 1
	dd PHYS(boot_gdt)
ap_trampoline_end:

section .boot.text progbits alloc exec nowrite align=16
bits 32
; From protected mode to ap_main(struct cpu *).
;   in:      nothing but CS; ap_start_* filled by the boot core, which starts one core at a time
;   out:     does not return
;   clobber: everything
ap_start_32:
	mov	eax, SELECTOR_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	ebp, LOW32(.high)
	jmp	enter_long_mode
bits 64
.high:
	mov	rax, [ap_start_cr3]         ; the final tables: the identity map ends here
	mov	cr3, rax
	mov	rsp, [ap_start_stack_top]
	xor	ebp, ebp
	mov	rdi, [ap_start_cpu]
	call	ap_main
	ud2

; Leaves the boot stack for a core's own one.
;   in:      RDI argument, RSI stack top, RDX function that never returns
;   out:     does not return
;   clobber: everything
global boot_switch_stack:function (boot_switch_stack.end - boot_switch_stack)
boot_switch_stack:
	mov	rsp, rsi
	xor	ebp, ebp
	call	rdx
	ud2
.end:

section .note.GNU-stack noalloc noexec nowrite progbits
