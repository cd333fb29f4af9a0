; Other processor modes for the paging guest: a call from long mode into 32-bit code (paging off, 32-bit, PAE) or real mode, and
; back. The code runs identity mapped below 4 GiB; interrupts are off; the caller's GDT stays, the IDT is replaced and restored.
;
; struct mode_request (paging/local.h), 32-bit words: entry, cr0, cr3, cr4, efer, ops, idt_limit_base (6 bytes, padded to 8)
bits 64
%define REQ_ENTRY 0
%define REQ_CR0   4
%define REQ_CR3   8
%define REQ_CR4   12
%define REQ_EFER  16
%define REQ_OPS   20
%define REQ_IDT   24

SEL_CODE64 equ 0x08
SEL_DATA   equ 0x10
SEL_CODE32 equ 0x18
SEL_CODE16 equ 0x30
SEL_DATA16 equ 0x38
MSR_EFER   equ 0xC0000080
REAL_BASE  equ 0x7000			; real-mode code; its results follow at REAL_RESULTS
REAL_STACK equ 0x7F00

global mode_call
global mode_ops32
global mode_trap_stubs32
global mode_real
global real_code
global real_code_end
global real_entry_offset

section .text
; void mode_call(const struct mode_request *request)
; In: rdi     Out: nothing     Clobbers: what the ABI allows     Stack: 64-bit stack below 4 GiB, used by the 32-bit code too
mode_call:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	sidt	[mode_idt64]
	mov	[mode_rsp], rsp
	mov	rax, cr0
	mov	[mode_cr0], eax
	mov	rax, cr3
	mov	[mode_cr3], eax
	mov	rax, cr4
	mov	[mode_cr4], eax
	mov	ecx, MSR_EFER
	rdmsr
	mov	[mode_efer], eax
	push	SEL_CODE32
	lea	rax, [rel .compat]
	push	rax
	retfq
bits 32
.compat:
	mov	eax, SEL_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	ebp, edi
	mov	eax, cr0
	and	eax, 0x7FFFFFFF
	mov	cr0, eax		; leaves long mode
	mov	ecx, MSR_EFER
	mov	eax, [ebp + REQ_EFER]
	xor	edx, edx
	wrmsr
	mov	eax, [ebp + REQ_CR4]
	mov	cr4, eax
	mov	eax, [ebp + REQ_CR3]
	mov	cr3, eax
	lidt	[ebp + REQ_IDT]
	mov	eax, [ebp + REQ_CR0]
	mov	cr0, eax
	jmp	short .flushed
.flushed:
	mov	edi, [ebp + REQ_OPS]
	call	[ebp + REQ_ENTRY]

	mov	eax, cr0
	and	eax, 0x7FFFFFFF
	mov	cr0, eax
	mov	eax, [mode_cr4]
	mov	cr4, eax
	mov	eax, [mode_cr3]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	mov	eax, [mode_efer]
	and	eax, ~(1 << 10)		; LMA is the CPU's
	xor	edx, edx
	wrmsr
	mov	eax, [mode_cr0]
	mov	cr0, eax
	jmp	SEL_CODE64:.long
bits 64
.long:
	mov	eax, SEL_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	rsp, [mode_rsp]
	lidt	[mode_idt64]
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; Runs the operations at edi (struct mode_op: kind, address, value) until kind 0. An exception ends its operation, whose value
; becomes 0xEE000000 | vector << 16 | error code.
bits 32
mode_ops32:
	mov	[ops_esp], esp
.next:
	mov	[ops_at], edi
	mov	eax, [edi]
	mov	esi, [edi + 4]
	mov	edx, [edi + 8]
	test	eax, eax
	jz	.end
	dec	eax
	jz	.read
	dec	eax
	jz	.write
	dec	eax
	jz	.invlpg
	dec	eax
	jz	.cr3
	dec	eax
	jz	.cpuid
	dec	eax
	jz	.in
	dec	eax
	jz	.call
	dec	eax
	jz	.divide
	dec	eax
	jz	.copy
	ud2
.read:
	mov	eax, [esi]
	mov	[edi + 8], eax
	jmp	.advance
.write:
	mov	[esi], edx
	jmp	.advance
.invlpg:
	invlpg	[esi]
	jmp	.advance
.cr3:
	mov	cr3, esi
	jmp	.advance
.cpuid:
	mov	eax, esi
	xor	ecx, ecx
	cpuid
	mov	edi, [ops_at]
	mov	[edi + 8], ebx
	jmp	.advance
.in:
	mov	eax, edx
	mov	edx, esi
	out	dx, al
	xor	eax, eax
	in	al, dx
	mov	[edi + 8], eax
	jmp	.advance
.call:
	call	esi
	mov	[edi + 8], eax
	jmp	.advance
.divide:
	mov	eax, esi
	mov	ecx, edx
	xor	edx, edx
	div	ecx
	mov	[edi + 8], eax
	jmp	.advance
.copy:					; four doublewords, from address to value
	push	edi
	mov	edi, edx
	mov	ecx, 4
	cld
	rep movsd
	pop	edi
.advance:
	add	edi, 12
	jmp	.next
.end:
	ret

; 32-bit exception stubs, 16 bytes apart, for vectors 0..31
align 16
mode_trap_stubs32:
%assign vector 0
%rep 32
align 16
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	push	dword 0
%endif
	push	dword vector
	jmp	mode_trap32
%assign vector vector + 1
%endrep
mode_trap32:
	pop	eax
	shl	eax, 16
	pop	edx
	movzx	edx, dx
	or	eax, edx
	or	eax, 0xEE000000
	mov	edi, [ops_at]
	mov	[edi + 8], eax
	mov	eax, cr2
	mov	[edi + 4], eax
	mov	esp, [ops_esp]
	add	edi, 12
	jmp	mode_ops32.next

; Entry for mode_call() without paging: goes on to real mode at REAL_BASE, comes back here.
mode_real:
	mov	[real_esp], esp
	sidt	[real_idt32]
	mov	eax, SEL_DATA
	mov	fs, eax			; keeps its 4 GiB limit in real mode
	jmp	SEL_CODE16:REAL_BASE
mode_real_back:
	mov	eax, SEL_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	esp, [real_esp]
	lidt	[real_idt32]
	ret

; 16-bit code, copied to REAL_BASE. Results: struct real_results (paging/local.h) at REAL_BASE + (results - real_code).
section .rodata align=16
%define R(label) (REAL_BASE + (label - real_code))
bits 16
real_code:
	mov	ax, SEL_DATA16
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, cr0
	and	al, 0xFE
	mov	cr0, eax
	jmp	0:R(.real)
.real:
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, REAL_STACK
	lidt	[R(ivt)]
	; vector 0: #DE, 0x60: by INT, 0x61: pending interrupt
	mov	dword [0x60 * 4], R(int60)
	mov	dword [0x61 * 4], R(int61)
	mov	dword [0 * 4], R(divide)
	mov	dword [6 * 4], R(undefined)
	int	0x60
	int	0x60
	xor	cx, cx
	mov	ax, 1
	xor	dx, dx
	div	cx			; two bytes, skipped by the handler
	ud2				; the same
	sti
	nop
	nop
	cli
	; segments: 0x1234:0x0010 is 0x12350
	mov	ax, 0x1234
	mov	es, ax
	mov	dword [es:0x10], 0xC0DEC0DE
	xor	eax, eax
	cpuid
	mov	[R(results.cpuid_ebx)], ebx
	mov	dx, 0x3FF
	mov	al, 0x6B
	out	dx, al
	xor	ax, ax
	in	al, dx
	mov	[R(results.port)], ax
	; string I/O with 16-bit addresses
	xor	ax, ax
	mov	es, ax
	mov	di, R(results.ins)
	mov	cx, 3
	cld
	rep insb
	mov	[R(results.ins_di)], di
	mov	si, R(outs_data)
	mov	cx, 2
	rep outsb
	in	al, dx
	mov	[R(results.outs)], al
	; device registers by a segment with a 4 GiB limit
	mov	eax, [fs:dword 0xFEE00030]
	mov	[R(results.lapic_version)], eax
	mov	dword [fs:dword 0xFEC00000], 1
	mov	eax, [fs:dword 0xFEC00010]
	mov	[R(results.ioapic_version)], eax
	smsw	ax
	mov	[R(results.msw)], ax
	mov	dword [R(results.done)], 0x600D600D
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword SEL_CODE32:mode_real_back
int60:
	inc	word [R(results.int60)]
	iret
int61:
	inc	word [R(results.int61)]
	iret
divide:
undefined:
	inc	word [R(results.faults)]
	push	bp
	mov	bp, sp
	add	word [bp + 2], 2
	pop	bp
	iret
align 4
ivt:
	dw 0x3FF
	dd 0
outs_data:
	db 0x11, 0x7D
align 4
results:
.done:		dd 0
.cpuid_ebx:	dd 0
.lapic_version:	dd 0
.ioapic_version: dd 0
.int60:		dw 0
.int61:		dw 0
.faults:	dw 0
.port:		dw 0
.ins_di:	dw 0
.msw:		dw 0
.ins:		db 0, 0, 0, 0
.outs:		db 0
		db 0, 0, 0
real_code_end:

section .bss alloc nobits align=16
mode_rsp:	resq 1
mode_cr0:	resd 1
mode_cr3:	resd 1
mode_cr4:	resd 1
mode_efer:	resd 1
mode_idt64:	resb 16
ops_esp:	resd 1
ops_at:		resd 1
real_esp:	resd 1
real_idt32:	resb 8

section .note.GNU-stack noalloc noexec nowrite progbits
