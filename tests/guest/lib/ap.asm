; Start of the other CPUs: copied to AP_BASE (smp.h), entered in real mode by a start-up IPI, goes straight to long mode on
; the boot CPU's tables and control registers. Everything it needs is in the mailbox behind the code, filled by smp.c.
;
; In:  cs = AP_BASE >> 4, ip = 0     Out: ap_main(rdi = struct guest_cpu *) on that CPU's stack, interrupts off
AP_BASE	equ 0x8000
global ap_code
global ap_code_end
extern ap_main

section .rodata align=16
ap_code:
bits 16
	cli
	cld
	xor	ax, ax
	mov	ds, ax
	lgdt	[AP_BASE + (ap_gdt_pointer - ap_code)]
	mov	eax, [AP_BASE + (ap_cr4 - ap_code)]
	mov	cr4, eax
	mov	eax, [AP_BASE + (ap_cr3 - ap_code)]
	mov	cr3, eax
	mov	ecx, 0xC0000080
	mov	eax, [AP_BASE + (ap_efer - ap_code)]
	xor	edx, edx
	wrmsr
	mov	eax, [AP_BASE + (ap_cr0 - ap_code)]
	mov	cr0, eax
	jmp	dword 0x08:AP_BASE + (.long - ap_code)
bits 64
.long:
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	rsp, [abs AP_BASE + (ap_rsp - ap_code)]
	mov	rdi, [abs AP_BASE + (ap_cpu - ap_code)]
	xor	ebp, ebp
	mov	rax, ap_main
	call	rax
.halt:
	cli
	hlt
	jmp	.halt
align 8
ap_gdt:
	dq 0
	dq 0x00AF9A000000FFFF
	dq 0x00CF92000000FFFF
ap_gdt_pointer:
	dw 23
	dd AP_BASE + (ap_gdt - ap_code)
align 8
; struct ap_mailbox (smp.c)
ap_cr0:		dq 0
ap_cr3:		dq 0
ap_cr4:		dq 0
ap_efer:	dq 0
ap_rsp:		dq 0
ap_cpu:		dq 0
ap_code_end:

section .note.GNU-stack noalloc noexec nowrite progbits
