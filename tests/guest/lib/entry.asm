; Start of every test guest: Multiboot 1 header, 32-bit entry, identity tables for the first 4 GiB, long mode, guest_start().
; The image is linked as ELF64 and turned into ELF32 by objcopy, because QEMU's -kernel takes no ELF64 with such a header.
;
; In:  eax = 0x2BADB002, ebx = physical address of the Multiboot information; flat 32-bit protected mode, no paging
; Out: never returns; guest_start(edi = magic, rsi = information) runs on the first CPU's stack with interrupts off
bits 32

MB_MAGIC	equ 0x1BADB002
MB_FLAGS	equ 0x00000003		; page-aligned modules, memory sizes wanted

extern guest_start
extern guest_stacks
extern __bss_start
extern __bss_end
global guest_entry
global boot_pml4

section .multiboot alloc noexec nowrite align=4
	dd MB_MAGIC
	dd MB_FLAGS
	dd -(MB_MAGIC + MB_FLAGS)

section .text
guest_entry:
	cli
	cld
	mov	ebp, eax
	mov	esi, ebx
	xor	eax, eax
	mov	edi, __bss_start
	mov	ecx, __bss_end
	sub	ecx, edi
	rep stosb

	; 2,048 large pages; the last GiB (device windows) uncached.
	mov	edi, boot_pd
	mov	eax, 0x83
	xor	ecx, ecx
.fill:
	mov	[edi + ecx * 8], eax
	cmp	ecx, 1536
	jb	.cached
	or	dword [edi + ecx * 8], 0x18
.cached:
	add	eax, 0x200000
	inc	ecx
	cmp	ecx, 2048
	jb	.fill
	mov	eax, boot_pd + 3
	xor	ecx, ecx
.pdpt:
	mov	[boot_pdpt + ecx * 8], eax
	add	eax, 0x1000
	inc	ecx
	cmp	ecx, 4
	jb	.pdpt
	mov	dword [boot_pml4], boot_pdpt + 3

	mov	eax, cr4
	or	eax, 1 << 5		; PAE
	mov	cr4, eax
	mov	eax, boot_pml4
	mov	cr3, eax
	mov	eax, 0x80000001
	cpuid
	mov	edi, edx		; bit 20: NX
	mov	ecx, 0xC0000080
	rdmsr
	or	eax, 1 << 8		; LME
	test	edi, 1 << 20
	jz	.no_nx
	or	eax, 1 << 11
.no_nx:
	wrmsr
	mov	eax, 0x80010033		; PG, WP, NE, ET, MP, PE
	mov	cr0, eax
	lgdt	[boot_gdt_pointer]
	jmp	0x08:.long

bits 64
.long:
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	rsp, guest_stacks + 0x4000
	mov	edi, ebp
	mov	esi, esi
	xor	ebp, ebp
	call	guest_start
.halt:
	cli
	hlt
	jmp	.halt

section .rodata align=8
boot_gdt:
	dq 0
	dq 0x00AF9A000000FFFF		; code, 64-bit
	dq 0x00CF92000000FFFF		; data
boot_gdt_pointer:
	dw 23
	dd boot_gdt

section .bss alloc nobits align=4096
boot_pml4:	resb 4096
boot_pdpt:	resb 4096
boot_pd:	resb 4 * 4096

section .note.GNU-stack noalloc noexec nowrite progbits
