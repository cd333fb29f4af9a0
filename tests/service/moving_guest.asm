; The guest of moving_frames.c, which is copied to its memory. It writes its pages, reads all of them again in each round, and rewrites a
; quarter; a page that does not hold what it wrote ends it. Each page costs a CPUID, of which root mode reads the code, too, where the CPU
; does not tell its length. Nothing here is executed in the service VM.
;
; in: ESI first page, EBP end of the last one, EDI where it counts: rounds, then address and contents of a bad word. No stack, no paging.
; Page p holds p & 7 in each word, plus one for each round before r that has the same two lowest bits as p.
bits 32
section .rodata

global moving_guest, moving_guest_end
align 16
moving_guest:
	mov edx, esi
.fill_page:
	mov eax, edx
	shr eax, 12
	and eax, 7
	lea ecx, [edx + 4096]
.fill_word:
	mov [edx], eax
	add edx, 4
	cmp edx, ecx
	jne .fill_word
	cmp edx, ebp
	jb .fill_page
.round:
	mov esp, esi
.page:
	mov eax, esp
	shr eax, 12
	mov edx, eax
	and edx, 3
	and eax, 7
	mov ecx, [edi]
	lea ebx, [ecx + 3]
	sub ebx, edx
	shr ebx, 2
	add eax, ebx		; EAX: what each word holds
	xor edx, ecx
	and edx, 3		; EDX: 0 if it is this page's turn
	mov ebx, esp
	lea ecx, [esp + 4096]
.word:
	cmp [ebx], eax
	jne .bad
	test edx, edx
	jnz .next
	inc dword [ebx]
.next:
	add ebx, 4
	cmp ebx, ecx
	jne .word
	xor eax, eax
	cpuid
	add esp, 4096
	cmp esp, ebp
	jb .page
	inc dword [edi]
	jmp .round
.bad:
	mov eax, [ebx]
	mov [edi + 8], eax
	mov [edi + 4], ebx
.end:
	hlt
	jmp .end
moving_guest_end:
