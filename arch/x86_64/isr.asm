; Interrupt and exception entries: one 8-byte stub per vector, then isr_common. Root mode only; no stack switch ever happens.
%include "arch/x86_64/registers.inc"

extern trap_handle

section .text progbits alloc exec nowrite align=16
bits 64

; Stub n, at isr_stubs + 8 * n.
;   in:      CPU's interrupt frame, with an error code for vectors 8, 10-14, 17, 21, 29, 30
;   out:     isr_common with [RSP] an address within the stub, [RSP + 8] error code or 0
global isr_stubs:function (isr_stubs.end - isr_stubs)
isr_stubs:
%assign n 0
%rep 256
	align 8
%if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30)
	push	0
%endif
	call	strict near isr_common
%assign n n + 1
%endrep
.end:

; Saves the general registers as struct trap_frame (trap.h) and calls trap_handle.
;   in:      stack as the stub left it, whose address becomes the vector; interrupts off (interrupt gates)
;   out:     IRETQ to what was interrupted, or to where trap_handle moved RIP
;   clobber: nothing
global isr_common:function (isr_common.end - isr_common)
isr_common:
	push_each rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	cld
	mov	rdi, rsp
	mov	rax, isr_stubs
	sub	[rsp + 15 * 8], rax         ; the vector: 8 bytes a stub
	shr	qword [rsp + 15 * 8], 3
	mov	rbx, rsp                    ; the frame may be 8 off the ABI's 16-byte alignment
	and	rsp, -16
	call	trap_handle
	mov	rsp, rbx
	pop_each r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
	add	rsp, 16
	iretq
.end:

section .note.GNU-stack noalloc noexec nowrite progbits
