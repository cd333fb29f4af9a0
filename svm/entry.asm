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
%include "arch/x86_64/registers.inc"

bits 64
section .text

global svm_enter:function (svm_enter.end - svm_enter)
svm_enter:
	push_each rbp, rbx, r12, r13, r14, r15, rdi
	mov	rax, rsi
	load_each rdi, 1, rcx, 2, rdx, 3, rbx, 5, rbp, 6, rsi, 8, r8, 9, r9, 10, r10, 11, r11, 12, r12, 13, r13, 14, r14, 15, r15
	mov	rdi, [rdi + 8 * 7]
	sti
	vmrun
	cli
	rsb_fill_if_needed
	pop	rax
	store_each rax, 1, rcx, 2, rdx, 3, rbx, 5, rbp, 6, rsi, 7, rdi, 8, r8, 9, r9, 10, r10, 11, r11, 12, r12, 13, r13, 14, r14, 15, r15
	pop_each r15, r14, r13, r12, rbx, rbp
	ret
.end:

section .note.GNU-stack noalloc noexec nowrite progbits
