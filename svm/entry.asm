; Entering a guest and coming back. APM vol. 2, 15.5 "VMRUN Instruction".
;
; void svm_enter(struct vcpu *v, hpa_t vmcb)
;   in:       RDI = vCPU (its gpr[16] at offset 0, encoding order), RSI = VMCB's host-physical address
;             VMCB holds RAX, RSP, RIP, RFLAGS of the guest; the others come from and go to gpr[]
;   out:      gpr[] but RAX and RSP (the caller takes these from the VMCB)
;   clobbers: RAX, RCX, RDX, RSI, RDI, R8 .. R11, flags
;   stack:    7 words
;   state:    GIF = 0 throughout root mode, before and after; IF = 1 only across VMRUN, so that a physical interrupt ends the
;             guest (with V_INTR_MASKING the host's IF at VMRUN masks them); FS, GS, TR, LDTR and the system-call MSRs stay the
;             guest's until the vCPU is unloaded

bits 64
section .text

global svm_enter:function (svm_enter.end - svm_enter)
svm_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi
	mov	rax, rsi
	mov	rcx, [rdi + 8 * 1]
	mov	rdx, [rdi + 8 * 2]
	mov	rbx, [rdi + 8 * 3]
	mov	rbp, [rdi + 8 * 5]
	mov	rsi, [rdi + 8 * 6]
	mov	r8, [rdi + 8 * 8]
	mov	r9, [rdi + 8 * 9]
	mov	r10, [rdi + 8 * 10]
	mov	r11, [rdi + 8 * 11]
	mov	r12, [rdi + 8 * 12]
	mov	r13, [rdi + 8 * 13]
	mov	r14, [rdi + 8 * 14]
	mov	r15, [rdi + 8 * 15]
	mov	rdi, [rdi + 8 * 7]
	sti
	vmrun
	cli
	pop	rax
	mov	[rax + 8 * 1], rcx
	mov	[rax + 8 * 2], rdx
	mov	[rax + 8 * 3], rbx
	mov	[rax + 8 * 5], rbp
	mov	[rax + 8 * 6], rsi
	mov	[rax + 8 * 7], rdi
	mov	[rax + 8 * 8], r8
	mov	[rax + 8 * 9], r9
	mov	[rax + 8 * 10], r10
	mov	[rax + 8 * 11], r11
	mov	[rax + 8 * 12], r12
	mov	[rax + 8 * 13], r13
	mov	[rax + 8 * 14], r14
	mov	[rax + 8 * 15], r15
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
.end:

section .note.GNU-stack noalloc noexec nowrite progbits
