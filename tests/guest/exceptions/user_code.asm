; Ring-3 snippets of the exceptions guest. Copied as a whole into a user page, hence position independent; every snippet ends
; in an exception, and its label NAME_at is where that exception must be reported.
;
; In:  rdi = address of the page the snippet may try, rsp = a user stack      Out: only by exception
bits 64
section .rodata align=16

%macro snippet 1
global user_%1
user_%1:
%endmacro
%macro trap_at 1
global user_%1_at
user_%1_at:
%endmacro

global user_code
global user_code_end
user_code:
snippet hlt
trap_at hlt
	hlt
snippet cli
trap_at cli
	cli
snippet cr0
trap_at cr0
	mov	rax, cr0
snippet rdmsr
	mov	ecx, 0x10
trap_at rdmsr
	rdmsr
snippet int
trap_at int
	int	0x21
snippet int3
	int3
trap_at int3
snippet in
	mov	edx, 0x3FD
trap_at in
	in	al, dx
	ud2
snippet outw
	mov	edx, 0x4F7
	xor	eax, eax
trap_at outw
	out	dx, ax
	ud2
snippet read
trap_at read
	mov	al, [rdi]
	ud2
snippet write
trap_at write
	mov	[rdi], al
	ud2
snippet execute
	jmp	rdi
snippet rdtsc
trap_at rdtsc
	rdtsc
	ud2
snippet sgdt
trap_at sgdt
	sgdt	[rsp - 16]
	ud2
snippet align
	mov	dword [rsp - 16], 0
trap_at align
	mov	eax, [rsp - 15]
	ud2
snippet syscall_code
	mov	eax, 0x1234
	syscall
trap_at syscall
	ud2
user_code_end:

; void user_enter(uint64_t rip, uint64_t rsp, uint64_t rflags, uint64_t rdi_there)
; Leaves ring 0 for good; the way back is trap_catch()'s.
global user_enter
section .text
user_enter:
	mov	r8, rdi
	mov	rdi, rcx
	push	0x23			; SEL_USER_DATA
	push	rsi
	push	rdx
	push	0x2B			; SEL_USER_CODE64
	push	r8
	iretq

; What SYSCALL reaches: leaves rcx (return address), r11 (flags) and the counter behind and goes back with SYSRET.
global user_syscall_entry
extern syscall_seen_rcx
extern syscall_seen_r11
extern syscall_seen_cs
user_syscall_entry:
	mov	[abs syscall_seen_rcx], rcx
	mov	[abs syscall_seen_r11], r11
	mov	[abs syscall_seen_cs], cs
	o64 sysret

section .note.GNU-stack noalloc noexec nowrite progbits
