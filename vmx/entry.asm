; Entering a guest and coming back. SDM vol. 3C, chapter 27 "VM Entries" and 28 "VM Exits".
;
; bool vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool launched)
;   in:       RDI = vCPU (its gpr[16] at offset 0, encoding order), RSI = its struct vmx_vcpu (host_rsp at offset 0),
;             DL = VMRESUME instead of VMLAUNCH; its VMCS is current and holds RSP, RIP and RFLAGS of the guest
;   out:      AL = 1 after an exit, 0 if the CPU refused; gpr[] but RSP, after an exit
;   clobbers: RCX, RDX, RSI, RDI, R8 .. R11, flags (after an exit RFLAGS is 2, as the ABI wants it)
;   stack:    8 words; HOST_RSP is written again only when this function runs at another depth than last time
;   state:    IF = 0 throughout, the guest's exits included; CR2, DR0-3, DR6 and the system-call MSRs stay the guest's until the
;             vCPU is unloaded

%include "arch/x86_64/registers.inc"

HOST_RSP equ 0x6C14

bits 64
section .text

global vmx_enter:function (vmx_enter.end - vmx_enter)
global vmx_exit
vmx_enter:
	push_each rbp, rbx, r12, r13, r14, r15, rdi
	cmp	rsp, [rsi]
	je	.depth_known
	mov	eax, HOST_RSP
	vmwrite	rax, rsp
	mov	[rsi], rsp
.depth_known:
	test	dl, dl                      ; the moves below keep ZF
	load_each rdi, 0, rax, 1, rcx, 2, rdx, 3, rbx, 5, rbp, 6, rsi, 8, r8, 9, r9, 10, r10, 11, r11, 12, r12, 13, r13, 14, r14, 15, r15
	mov	rdi, [rdi + 8 * 7]
	jz	.launch
	vmresume
	jmp	.refused
.launch:
	vmlaunch
.refused:
	pop	rdi
	xor	eax, eax
	jmp	.restore
vmx_exit:                                   ; HOST_RIP; RSP as at the push of RDI
	rsb_fill_if_needed
	push	rax
	mov	rax, [rsp + 8]
	store_each rax, 1, rcx, 2, rdx, 3, rbx, 5, rbp, 6, rsi, 7, rdi, 8, r8, 9, r9, 10, r10, 11, r11, 12, r12, 13, r13, 14, r14, 15, r15
	pop	qword [rax]
	pop	rax
	mov	eax, 1
vmx_enter.restore:
	pop_each r15, r14, r13, r12, rbx, rbp
	ret
vmx_enter.end:

section .note.GNU-stack noalloc noexec nowrite progbits
