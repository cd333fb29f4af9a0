; First instructions of a service VM's vCPU, after the image's header (struct hilum_image_header, <hilum/abi.h>).
;
; service_entry
;   in:       32-bit protected mode, flat segments, paging off, interrupts off, EBX = vCPU index; memory beyond the image is zero, unless
;             EAX is not: the control VM is started again where another one has died, and clears what that one left
;   out:      64-bit mode, first 4 GiB identity-mapped, text executable, text and constants read-only; own stack; jumps to service_main(index)
;   stack:    service_stacks + (index + 1) * SERVICE_STACK_BYTES
; Every vCPU writes the same page tables: whoever comes second changes nothing.

SERVICE_STACK_BYTES equ 32768		; service.ld has the same
MSR_EFER equ 0xC0000080
IMAGE_PART equ 0x200000			; from __image_start: text and constants lie in there, as service.ld asserts
NO_EXECUTE equ 0x80000000		; in the upper half of an entry

extern __image_start, __rodata_start, __data_start, __image_end, _end
extern service_main, service_stacks

section .image_header progbits alloc noexec nowrite align=8
	dd	0x494D4C48			; HILUM_IMAGE_MAGIC
	dd	1				; HILUM_ABI_VERSION
	dq	__image_start
	dq	image_bytes
	dq	image_memory_bytes
	dq	service_entry

extern image_bytes, image_memory_bytes		; from service.ld

section .entry progbits alloc exec nowrite align=16
bits 32
global service_entry
service_entry:
	test	eax, eax
	jz	.clear
	mov	edi, __image_end
	mov	ecx, image_memory_bytes
	sub	ecx, edi
	shr	ecx, 2
	xor	eax, eax
	rep	stosd
.clear:	mov	edi, service_pml4
	mov	eax, service_pdpt + 3
	mov	[edi], eax
	mov	edi, service_pdpt
	mov	eax, service_pd + 3
	mov	ecx, 4
.pdpt:	mov	[edi], eax
	add	eax, 4096
	add	edi, 8
	loop	.pdpt
	mov	edi, service_pd
	mov	eax, 0x83			; present, writable, 2 MiB
	mov	ecx, 4 * 512
.pd:	lea	edx, [eax - 0x83]
	sub	edx, __image_start
	mov	esi, service_pt + 3		; the image's part has a table of its own,
	cmp	edx, IMAGE_PART
	mov	edx, 0
	jb	.write
	mov	esi, eax			; all else is for data
	mov	edx, NO_EXECUTE
.write:	mov	[edi], esi
	mov	[edi + 4], edx
	add	eax, 0x200000
	add	edi, 8
	loop	.pd
	mov	edi, service_pt
	mov	eax, __image_start + 3
	mov	ecx, 512
.pt:	mov	edx, NO_EXECUTE
	mov	esi, eax
	cmp	eax, __data_start
	jae	.put				; data, and what follows
	and	esi, ~2				; the rest is read-only,
	cmp	eax, __rodata_start
	jae	.put
	xor	edx, edx			; and text is executed
.put:	mov	[edi], esi
	mov	[edi + 4], edx
	add	eax, 0x1000
	add	edi, 8
	loop	.pt
	mov	eax, service_pml4
	mov	cr3, eax
	mov	eax, 0x20			; PAE
	mov	cr4, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, 0x900			; LME, NXE
	wrmsr
	mov	eax, 0x80010011			; PG, WP, ET, PE
	mov	cr0, eax
	lgdt	[service_gdtr]
	jmp	0x08:.long
bits 64
.long:	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	edi, ebx
	lea	eax, [rbx + 1]
	imul	eax, eax, SERVICE_STACK_BYTES
	mov	rsp, service_stacks
	add	rsp, rax
	xor	ebp, ebp
	call	service_main
	ud2

section .rodata
align 8
service_gdt:
	dq	0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
service_gdtr:
	dw	23
	dd	service_gdt

section .bss
align 4096
global service_pml4, service_pdpt
service_pml4:	resb 4096
service_pdpt:	resb 4096
service_pd:	resb 4 * 4096
service_pt:	resb 4096

section .note.GNU-stack noalloc noexec nowrite progbits
