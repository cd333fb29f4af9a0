; From Multiboot2's 32-bit machine state to C on the boot core.
;
; The first page tables map [0, 4 GiB) one to one and, by sharing the same directories, [0, 2 GiB) at KERNEL_BASE; all of it
; writable and executable, in 2 MiB pages, for the time until mm_init loads the final tables. PDPT slot 4 holds a spare
; directory for early_map. Application processors pass through the same tables (ap_start.asm).
%include "arch/x86_64/layout.inc"

%define PHYS(x) ((x) - KERNEL_BASE)

MULTIBOOT2_LOADED equ 0x36D76289
CR0_PG_WP         equ (1 << 31) | (1 << 16)
CR4_PAE           equ 1 << 5
EFER_MSR          equ 0xC0000080
EFER_LME_NXE      equ (1 << 8) | (1 << 11)
PTE_P_RW          equ 3
PTE_P_RW_PS       equ 0x83

extern boot_main

section .boot.text progbits alloc exec nowrite align=16
bits 32
; Entry from GRUB.
;   in:      EAX magic, EBX physical address of the boot information; protected mode, paging off, interrupts off, no stack
;   out:     does not return: boot_main(magic, information) in 64-bit mode on boot_stack
;   clobber: everything
global boot_entry:function (boot_entry.end - boot_entry)
boot_entry:
	cli
	cld
	mov	esp, PHYS(boot_stack.end)
	mov	esi, eax                    ; magic and information survive in ESI, EBX
	mov	edi, PHYS(text_multiboot)
	cmp	eax, MULTIBOOT2_LOADED
	jne	refuse

	; Long mode and no-execute, or nothing. CPUID itself exists on every CPU that GRUB's EFI or i386-pc reach with PAE.
	push	ebx
	mov	eax, 0x80000000
	cpuid
	mov	edi, PHYS(text_cpu)
	cmp	eax, 0x80000001
	jb	refuse
	mov	eax, 0x80000001
	cpuid
	bt	edx, 29
	jnc	refuse
	bt	edx, 20
	jnc	refuse
	pop	ebx

	; Four directories of 2 MiB pages for [0, 4 GiB).
	mov	edi, PHYS(boot_pd)
	mov	eax, PTE_P_RW_PS
	xor	edx, edx
.fill:
	mov	[edi], eax
	mov	[edi + 4], edx
	add	eax, 0x200000
	add	edi, 8
	cmp	edi, PHYS(boot_pd) + 4 * 4096
	jb	.fill
	mov	eax, PHYS(boot_pd) + PTE_P_RW
	mov	[PHYS(boot_pdpt)], eax
	mov	[PHYS(boot_pdpt_high) + 510 * 8], eax
	add	eax, 0x1000
	mov	[PHYS(boot_pdpt) + 8], eax
	mov	[PHYS(boot_pdpt_high) + 511 * 8], eax
	add	eax, 0x1000
	mov	[PHYS(boot_pdpt) + 16], eax
	add	eax, 0x1000
	mov	[PHYS(boot_pdpt) + 24], eax
	mov	dword [PHYS(boot_pdpt) + 32], PHYS(boot_pd_early) + PTE_P_RW
	mov	dword [PHYS(boot_pml4)], PHYS(boot_pdpt) + PTE_P_RW
	mov	dword [PHYS(boot_pml4) + 511 * 8], PHYS(boot_pdpt_high) + PTE_P_RW

	mov	ebp, PHYS(.long_mode)
	jmp	enter_long_mode
bits 64
.long_mode:
	mov	rax, .high
	jmp	rax
.high:
	mov	rsp, boot_stack.end
	xor	ebp, ebp                    ; ends backtraces
	mov	rax, boot_cpu
	mov	[rsp - STACK_BYTES], rax    ; cpu_self's slot
	mov	edi, esi
	mov	esi, ebx
	call	boot_main
	ud2
.end:

; Turns paging and long mode on and goes to EBP in 64-bit code.
;   in:      EBP physical address of 64-bit code; 32-bit code with flat segments; boot_pml4 filled
;   out:     64-bit mode through boot_gdt; ESI, EBX, ESP kept
;   clobber: EAX, ECX, EDX
bits 32
global enter_long_mode:function (enter_long_mode.end - enter_long_mode)
enter_long_mode:
	lgdt	[PHYS(boot_gdt.pointer)]
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, PHYS(boot_pml4)
	mov	cr3, eax
	mov	ecx, EFER_MSR
	rdmsr
	or	eax, EFER_LME_NXE
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG_WP
	and	eax, ~0x60000000            ; caches on: CD and NW are set after INIT
	mov	cr0, eax
	jmp	SELECTOR_CODE:PHYS(.in_64)
bits 64
.in_64:
	mov	eax, SELECTOR_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	eax, ebp
	jmp	rax
.end:

; Says why the kernel cannot run on COM1 and the text screen.
;   in:      EDI the sentence
;   clobber: everything; halts
bits 32
refuse:
	mov	esi, edi
	mov	edi, 0xB8000
.next:
	lodsb
	test	al, al
	jz	.halt
	mov	ah, 0x4F                    ; white on red
	mov	[edi], ax
	add	edi, 2
	mov	ah, al
	mov	ecx, 100000                 ; a port that never gets ready must not hang the sentence on the screen
	mov	dx, 0x3FD
.wait:
	in	al, dx
	test	al, 0x20
	loopz	.wait
	mov	dx, 0x3F8
	mov	al, ah
	out	dx, al
	jmp	.next
.halt:
	cli
	hlt
	jmp	.halt

section .boot.rodata progbits alloc noexec nowrite align=8
text_multiboot:  db "hilum: cannot start: not loaded by a Multiboot2 boot loader (GRUB 2: use the multiboot2 command)", 13, 10, 0
text_cpu:        db "hilum: cannot start: this CPU lacks 64-bit mode or no-execute pages, or the firmware has switched them off", 13, 10, 0

align 8
global boot_gdt
boot_gdt:
	dq 0
	dq 0x00AF9B000000FFFF               ; code, 64-bit, accessed
	dq 0x00CF93000000FFFF               ; data, accessed
	dq 0x00CF9B000000FFFF               ; code, 32-bit: the trampoline's way
.end:
.pointer:
	dw .end - boot_gdt - 1
	dq PHYS(boot_gdt)

section .bss.page_tables nobits alloc noexec write align=4096
global boot_pml4, boot_pd_early
boot_pml4:       resb 4096
boot_pdpt:       resb 4096
boot_pdpt_high:  resb 4096
boot_pd:         resb 4 * 4096
boot_pd_early:   resb 4096

section .bss nobits alloc noexec write align=16384
boot_stack:      resb STACK_BYTES
.end:

extern boot_cpu

section .note.GNU-stack noalloc noexec nowrite progbits
