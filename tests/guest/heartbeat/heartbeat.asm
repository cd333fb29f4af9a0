; The smallest guest that lives: a heart that beats once a second, in less than a page. Many of these at once show what a VM costs.
;
; heartbeat
;   in:       64-bit mode, memory identity-mapped, interrupts off, a stack (a plain ELF64 image, as drivers-vm/control/loader_elf.c enters it)
;   out:      does not return; at each beat a character goes to COM1, a dot, or a newline after every 64th
; Time comes from the local APIC in x2APIC mode, by TSC deadline, and the TSC's frequency from Hilum's CPUID leaf.

COM1		equ 0x3F8
VECTOR		equ 0x40
MSR_APIC_BASE	equ 0x1B
MSR_TSC_DEADLINE equ 0x6E0
X2APIC_EOI	equ 0x80B
X2APIC_SVR	equ 0x80F
X2APIC_LVT_TIMER equ 0x832
HILUM_FEATURES	equ 0x40000101		; EBX: kHz of the TSC

bits 64
section .text
global heartbeat
heartbeat:
	lea	rax, [rel beat]
	lea	rdi, [rel idt]
	mov	[rdi + VECTOR * 16], ax
	mov	[rdi + VECTOR * 16 + 2], cs
	mov	word [rdi + VECTOR * 16 + 4], 0x8E00	; present, interrupt gate
	shr	rax, 16
	mov	[rdi + VECTOR * 16 + 6], eax
	lidt	[rel idtr]
	mov	eax, HILUM_FEATURES
	cpuid
	imul	r12, rbx, 1000			; a second
	mov	ecx, MSR_APIC_BASE
	rdmsr
	or	eax, 0xC00			; enabled, x2APIC
	wrmsr
	xor	edx, edx
	mov	ecx, X2APIC_SVR
	mov	eax, 0x1FF
	wrmsr
	mov	ecx, X2APIC_LVT_TIMER
	mov	eax, 0x40000 | VECTOR		; TSC deadline
	wrmsr
	xor	r13d, r13d			; beats
	call	arm
.wait:	sti
	hlt
	jmp	.wait

; The next beat is a second from now. Clobbers RAX, RCX, RDX.
arm:	rdtsc
	shl	rdx, 32
	or	rax, rdx
	add	rax, r12
	mov	rdx, rax
	shr	rdx, 32
	mov	ecx, MSR_TSC_DEADLINE
	wrmsr
	ret

; The timer's interrupt: only ever out of HLT, so that registers may change.
beat:	call	arm
	inc	r13
	mov	eax, '.'
	test	r13d, 63
	jnz	.out
	mov	eax, 10
.out:	mov	dx, COM1
	out	dx, al
	xor	eax, eax
	xor	edx, edx
	mov	ecx, X2APIC_EOI
	wrmsr
	iretq

align 8
idtr:	dw	(VECTOR + 1) * 16 - 1
	dq	idt

section .bss
align 16
idt:	resb	(VECTOR + 1) * 16

section .note.GNU-stack noalloc noexec nowrite progbits
