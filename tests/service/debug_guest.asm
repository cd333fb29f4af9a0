; The guest of debug_stops.c: two loops, 64-bit and 32-bit, that are copied to its memory, with the places that the debugger asks for.
; Nothing here is executed in the service VM.
bits 64
section .rodata

%define VALUE 0x18000			; what is watched

global debug_guest, debug_guest_end, debug_guest_places
align 16
debug_guest:
start:	nop
	mov rcx, cr3
	mov cr3, rcx
again:	inc rax
	mov [abs qword VALUE], rax
stored:	mov dr0, rax
	mov rdx, dr0
pushing:
	pushfq
pushed:	pop rsi
	ud2
	int3
	jmp start
handle_debug:
	inc r8
	iretq
handle_breakpoint:
	inc rdi
	iretq
handle_invalid:
	inc rbx
	add qword [rsp], 2
	iretq
bits 32
start_32:
	inc eax
again_32:
	inc ebx
	jmp start_32
debug_guest_end:

; Offsets, in the order of enum place.
align 4
debug_guest_places:
	dd again - start, stored - start, pushed - start, handle_debug - start, handle_breakpoint - start, handle_invalid - start
	dd start_32 - start, again_32 - start, pushing - start

section .note.GNU-stack noalloc noexec nowrite progbits
