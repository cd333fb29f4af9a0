; Entry stubs of all 256 vectors, 16 bytes apart, and the call that a trap can abandon.
; Every stub leaves the frame of struct trap_frame (trap.h): the CPU's five words, error code (0 if the CPU pushes none),
; vector, fifteen registers. In long mode the CPU aligns the stack to 16 bytes first, so 22 words keep it aligned.
bits 64
extern trap_handle
global trap_stubs
global trap_call
global trap_resume

section .text
align 16
trap_stubs:
%assign vector 0
%rep 256
align 16
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	0
%endif
	push	vector
	jmp	trap_common
%assign vector vector + 1
%endrep

align 16
trap_common:
	cld
	push	rax
	push	rbx
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	push	rbp
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rdi, rsp
	call	trap_handle
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rbp
	pop	rdi
	pop	rsi
	pop	rdx
	pop	rcx
	pop	rbx
	pop	rax
	add	rsp, 16
	iretq

; bool trap_call(void (*fn)(void *), void *arg, uint64_t *rsp_slot)
; Runs fn(arg). Returns 0 when fn returned, 1 when trap_handle() sent the CPU to trap_resume with rsp = *rsp_slot.
; Callee-saved registers are restored either way.
trap_call:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	sub	rsp, 8
	mov	[rdx], rsp
	mov	rax, rdi
	mov	rdi, rsi
	call	rax
	xor	eax, eax
	jmp	trap_return
trap_resume:
	mov	eax, 1
trap_return:
	cld
	add	rsp, 8
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
