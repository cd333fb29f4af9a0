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

HOST_RSP equ 0x6C14

bits 64
section .text

global vmx_enter:function (vmx_enter.end - vmx_enter)
global vmx_exit
vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi
	cmp	rsp, [rsi]
	je	.depth_known
	mov	eax, HOST_RSP
	vmwrite	rax, rsp
	mov	[rsi], rsp
.depth_known:
	test	dl, dl                      ; the moves below keep ZF
	mov	rax, [rdi]
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
	push	rax
	mov	rax, [rsp + 8]
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
	pop	qword [rax]
	pop	rax
	mov	eax, 1
vmx_enter.restore:
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
vmx_enter.end:

section .note.GNU-stack noalloc noexec nowrite progbits
