; From Multiboot2's 32-bit machine state to C on the boot core.
;
; The first page tables map [0, 4 GiB) one to one and, by sharing the same directories, at POOL_BASE and the first 2 GiB at
; KERNEL_BASE; all of it writable and executable, in 2 MiB pages, for the time until mm_init loads the final tables. PDPT slot 4
; holds a spare directory for early_map. Application processors pass through the same tables (ap_start.asm).
%include "arch/x86_64/layout.inc"

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
	mov	edi, eax                    ; boot_main's arguments, from here to there
	mov	esi, ebx

	; Long mode and no-execute, or nothing. CPUID itself exists on every CPU that GRUB's EFI or i386-pc reach with PAE.
	mov	eax, 0x80000000
	cpuid
	cmp	eax, 0x80000001
	jb	refuse
	mov	eax, 0x80000001
	cpuid
	bt	edx, 29
	jnc	refuse
	bt	edx, 20
	jnc	refuse

	mov	ebp, LOW32(.high)
	jmp	enter_long_mode
bits 64
.high:
	mov	rsp, boot_stack.end
	xor	ebp, ebp                    ; ends backtraces
	mov	rax, boot_cpu
	mov	[rsp - STACK_BYTES], rax    ; cpu_self's slot
	call	boot_main
	ud2
.end:

; Turns paging and long mode on and goes to 64-bit code of the image at its linked address.
;   in:      EBP LOW32 of that code; 32-bit code with flat segments
;   out:     64-bit mode through boot_gdt; ESI, EDI kept
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
	movsxd	rax, ebp
	jmp	rax
.end:

; Says on COM1 and the text screen that this CPU cannot run the kernel.
;   clobber: everything; halts
bits 32
refuse:
	mov	esi, PHYS(text_cpu)
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

section .data.page_tables progbits alloc noexec write align=4096
global boot_pd_early
boot_pml4:
	dq PHYS(boot_pdpt) + PTE_P_RW
	times 255 dq 0
	dq PHYS(boot_pdpt) + PTE_P_RW   ; POOL_BASE
	times 254 dq 0
	dq PHYS(boot_pdpt_high) + PTE_P_RW
boot_pdpt:
%assign gib 0
%rep 4
	dq PHYS(boot_pd) + gib * 4096 + PTE_P_RW
%assign gib gib + 1
%endrep
	dq PHYS(boot_pd_early) + PTE_P_RW
	times 507 dq 0
boot_pdpt_high:
	times 510 dq 0
	dq PHYS(boot_pd) + PTE_P_RW
	dq PHYS(boot_pd) + 4096 + PTE_P_RW
boot_pd:
%assign page 0
%rep 2048
	dq page * 0x200000 + PTE_P_RW_PS
%assign page page + 1
%endrep
boot_pd_early:
	times 512 dq 0

section .bss nobits alloc noexec write align=16384
boot_stack:      resb STACK_BYTES
.end:

extern boot_cpu

section .note.GNU-stack noalloc noexec nowrite progbits
