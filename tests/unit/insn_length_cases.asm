; Instructions whose length nasm knows, as records for test_insn_length.c: mode (2, 4, 8), length, then that many bytes.
; A mode of 0 ends the table. Every addressing form, prefix and immediate rule appears at least once.

%macro in16 1+
	db 2, %%end - %%start
	bits 16
%%start: %1
%%end:
%endmacro
%macro in32 1+
	db 4, %%end - %%start
	bits 32
%%start: %1
%%end:
%endmacro
%macro in64 1+
	db 8, %%end - %%start
	bits 64
	default abs
%%start: %1
%%end:
%endmacro
%macro inall 1+
	in16 %1
	in32 %1
	in64 %1
%endmacro
%macro in1632 1+
	in16 %1
	in32 %1
%endmacro

section .rodata
global insn_length_cases
insn_length_cases:
	; Instructions that exit
	inall cpuid
	inall rdmsr
	inall wrmsr
	inall rdtsc
	inall rdtscp
	inall rdpmc
	inall hlt
	inall pause
	inall vmmcall
	inall vmcall
	inall vmrun
	inall vmload
	inall vmsave
	inall stgi
	inall clgi
	in64 invlpga
	inall invd
	inall wbinvd
	inall clts
	inall monitor
	inall mwait
	inall xsetbv
	inall xgetbv
	inall rsm
	inall invlpga
	in16 invlpg [bx+si]
	in32 invlpg [eax]
	in64 invlpg [rax]
	in64 invlpg [r12]
	in64 invlpg [rax+rcx*8+0x12345678]
	in32 mov cr0, eax
	in32 mov eax, cr3
	in64 mov cr0, rax
	in64 mov r9, cr4
	in64 mov cr8, rax
	in64 mov rdx, cr8
	in32 mov dr7, ebx
	in64 mov r15, dr6
	in64 mov dr0, rdi
	in16 lmsw ax
	in32 smsw eax
	in64 smsw rax
	in32 lgdt [eax]
	in64 lgdt [rax]
	in64 lidt [0x1000]
	in64 sidt [rsp+8]
	in64 sgdt [rbp]
	in64 sldt ax
	in64 str rax
	in64 lldt [rbx]
	in64 ltr ax
	inall in al, 0x60
	inall in ax, 0x60
	inall in eax, 0x60
	inall in al, dx
	inall in ax, dx
	inall in eax, dx
	inall out 0x80, al
	inall out 0x80, ax
	inall out 0x80, eax
	inall out dx, al
	inall out dx, ax
	inall out dx, eax
	inall insb
	inall insw
	inall insd
	inall outsb
	inall outsw
	inall outsd
	inall rep insb
	inall rep insd
	inall rep outsw
	in64 db 0x66, 0xF3, 0x6D
	in64 a32 rep insb
	in64 fs outsb
	in32 a16 rep outsd
	inall int3
	inall int 0x80
	inall int1
	inall iret
	in64 iretq
	inall popf
	inall pushf
	in64 invpcid rax, [rbx]
	in64 xsaves [rax]
	in64 db 0xF3, 0x0F, 0xA2

	; 16-bit addressing
	in16 mov [bx+si], al
	in16 mov [bp], al
	in16 mov [bp+di], ax
	in16 mov [si+5], ax
	in16 mov [bx+0x1234], ax
	in16 mov [0x1234], bx
	in16 mov word [0x1234], 0x5678
	in16 mov dword [0x1234], 0x56789ABC
	in16 mov byte [di], 7
	in16 mov eax, [bx]
	in32 mov eax, [bx]
	in32 mov eax, [bx+si+0x1234]
	in32 mov eax, [word 0x1234]
	in32 mov dword [bx], 0x12345678
	; 32-bit addressing
	in16 mov ax, [eax]
	in16 mov ax, [eax+ecx*4]
	in16 mov ax, [esp+4]
	in16 mov eax, [dword 0x12345678]
	in16 mov word [eax*8+0x12345678], 0x1234
	in32 mov [eax], ecx
	in32 mov [ebp], ecx
	in32 mov [ebp+0x80], ecx
	in32 mov [esp], ecx
	in32 mov [esp+0x7f], ecx
	in32 mov [esp+0x80], ecx
	in32 mov [eax+eax], ecx
	in32 mov [ecx*2], ebx
	in32 mov [ecx*4+5], ebx
	in32 mov [ebp+ecx*4], ebx
	in32 mov [0x12345678], ebx
	in32 mov byte [0x12345678], 1
	in32 mov word [0x12345678], 0x1234
	in32 mov dword [0x12345678], 0x12345678
	; 64-bit addressing
	in64 mov [rax], ecx
	in64 mov [r8], cl
	in64 mov [r12], rcx
	in64 mov [r13], cx
	in64 mov [r13+r12*2], cx
	in64 mov [rbp], sil
	in64 mov [rsp], r9
	in64 mov [rsp+0x80], r9w
	in64 mov [rel insn_length_cases], eax
	in64 mov dword [rel insn_length_cases], 0x12345678
	in64 mov [abs 0x1000], ebx
	in64 mov [eax], ebx
	in64 mov [rel insn_length_cases+4], ebx
	in64 mov [r15d+r14d*4+0x11223344], rbx
	in64 mov qword [rax], 0x12345678
	in64 mov word [rax+8], 0x1234
	in64 mov byte [rax+rbx+8], 0x12
	in64 mov [fs:0x30], ecx
	in64 mov [gs:rax], ecx
	in64 mov rax, [gs:0x28]
	; moffs
	in16 mov al, [0x1234]
	in16 a32 mov al, [0x12345678]
	in32 mov al, [0x12345678]
	in32 mov [0x12345678], eax
	in32 mov [0x12345678], ax
	in32 mov eax, [fs:0x12345678]
	in32 mov eax, [word 0x1234]
	in64 mov al, [qword 0x1122334455667788]
	in64 mov eax, [qword 0x1122334455667788]
	in64 mov [qword 0x1122334455667788], rax
	in64 db 0x67, 0xA1, 0x78, 0x56, 0x34, 0x12
	; Immediates
	inall add al, 1
	in16 add ax, 0x1234
	in16 add eax, 0x12345678
	in32 add ax, 0x1234
	in32 add eax, 0x12345678
	in64 add ax, 0x1234
	in64 add eax, 0x12345678
	in64 add rax, 0x12345678
	in64 db 0x66, 0x48, 0x05, 1, 2, 3, 4
	in64 db 0x48, 0x66, 0x05, 1, 2
	in32 sub dword [eax], 0x12345678
	in32 sub dword [eax], 0x12
	in64 sub qword [rax+rbx*2], 0x12345678
	in64 cmp byte [rax], 0x12
	in64 test byte [rax], 0x12
	in64 test word [rax], 0x1234
	in64 test dword [rax], 0x12345678
	in64 test qword [rax], 0x12345678
	in16 test word [bx], 0x1234
	in64 db 0xF7, 0x08, 1, 2, 3, 4
	in64 db 0xF6, 0x08, 1
	inall db 0xF6, 0xD8
	in64 not dword [rax]
	in64 neg byte [rax]
	in64 mul dword [rax+5]
	in64 idiv qword [rsp]
	inall mov al, 1
	inall mov cl, 0xFF
	in16 mov ax, 0x1234
	in16 mov ecx, 0x12345678
	in32 mov bx, 0x1234
	in32 mov edi, 0x12345678
	in64 mov r8w, 0x1234
	in64 mov r9d, 0x12345678
	in64 mov rax, 0x1122334455667788
	in64 mov r15, 0x1122334455667788
	in64 mov r15, strict dword 0x11223344
	in16 push 0x1234
	in32 push dword 0x12345678
	in64 push 0x12345678
	inall push byte 5
	in64 db 0x66, 0x68, 0x34, 0x12
	in64 imul eax, [rbx], 5
	in64 imul rax, [rbx], 0x12345678
	in16 imul ax, bx, 0x1234
	in64 enter 0x1234, 1
	inall leave
	inall ret
	inall ret 0x1234
	inall retf
	inall retf 0x1234
	in16 call 0x1234:0x5678
	in16 jmp dword 0x1234:0x56789ABC
	in32 call 0x1234:0x56789ABC
	in32 jmp word 0x1234:0x5678
	in64 jmp far [rax]
	in64 call [rel insn_length_cases]
	in1632 aam
	in1632 aad 5
	in1632 daa
	in1632 das
	in1632 aaa
	in1632 aas
	in1632 into
	in1632 pusha
	in1632 popa
	in1632 push es
	in1632 pop ds
	inall push fs
	inall pop gs
	in32 les eax, [ebx]
	in32 lds eax, [ebx+4]
	in64 lss eax, [rbx]
	in32 bound eax, [ecx]
	in32 arpl [eax], cx
	in64 movsxd rax, dword [rcx+8]
	inall xlatb
	inall cbw
	inall cdq
	inall fwait
	inall sahf
	; Branches
	inall jmp short $+2
	in16 jmp near $+0x1234
	in32 jmp near $+0x1234
	in64 jmp near $+0x1234
	in16 call $+0x1234
	in32 call $+0x1234
	in64 call $+0x1234
	inall jz $+5
	in16 jz near $+0x1000
	in32 jz near $+0x1000
	in64 jz near $+0x1000
	inall loop $
	inall db 0xE3, 0x00
	in64 jmp rax
	in64 call [r12+8]
	; Two- and three-byte maps
	in64 movzx eax, byte [rbx]
	in64 movsx rax, word [rbx+rcx]
	in64 bt [rax], ecx
	in64 bts dword [rax], 5
	in64 shld [rax], ebx, 3
	in64 shrd [rax], ebx, cl
	in64 cmpxchg [rax], ecx
	in64 lock cmpxchg16b [rax]
	in64 lock xadd [rax+4], ecx
	in64 bswap r9
	in64 cmovz eax, [rbx]
	in64 setz [rbx]
	in64 movnti [rax], ecx
	in64 nop dword [rax+rax+0x1000]
	in64 nop dword [rax]
	in64 endbr64
	in64 prefetchnta [rax]
	in64 prefetchw [rax]
	in64 popcnt eax, [rbx]
	in64 lzcnt rax, rbx
	in64 crc32 eax, byte [rbx]
	in64 movbe eax, [rbx+4]
	in64 movbe [rbx], rcx
	in64 adcx eax, [rbx]
	in64 sha1rnds4 xmm0, xmm1, 2
	in64 pshufb xmm0, [rax]
	in64 palignr xmm0, [rax], 5
	in64 pextrd [rax+8], xmm1, 2
	in64 aeskeygenassist xmm1, [rax], 7
	in64 movdqu xmm9, [r8]
	in64 movdqa [rax], xmm0
	in64 movaps xmm0, [rel insn_length_cases]
	in64 pshufd xmm0, [rax], 0x1B
	in64 psrlq xmm0, 5
	in64 psrldq xmm9, 5
	in64 shufps xmm0, [rax], 5
	in64 cmpps xmm0, [rax], 5
	in64 pinsrw xmm0, [rax], 5
	in64 pextrw eax, xmm0, 5
	in64 emms
	in64 femms
	in64 pfadd mm0, [rax+8]
	in64 extrq xmm0, 1, 2
	in64 insertq xmm0, xmm1, 1, 2
	in64 vmread [rax], rbx
	in64 vmwrite rax, [rbx]
	in64 fxsave [rax]
	in64 xrstor64 [rax+0x100]
	in64 clflush [rax]
	in64 mfence
	in64 rdfsbase rax
	in64 rdrand eax
	in64 ud2
	in64 syscall
	in64 sysret
	in64 fld qword [rax+8]
	in64 fstp st3
	in64 fnstsw ax
	; VEX, EVEX, XOP
	in64 vzeroupper
	in64 vzeroall
	in64 vmovdqu ymm0, [rax]
	in64 vmovdqu ymm9, [r8+r9*4+0x12]
	in64 vpaddd xmm0, xmm1, [rax+0x12345678]
	in64 vpshufd ymm0, [rax], 5
	in64 vpshufb ymm0, ymm1, [r9]
	in64 vpalignr ymm0, ymm1, [rax], 5
	in64 vblendvps ymm0, ymm1, [rax], ymm3
	in64 vpsrlq ymm0, ymm1, 5
	in64 vcmpps ymm0, ymm1, [rax], 5
	in64 rorx eax, [rbx], 5
	in64 andn eax, ebx, [rcx]
	in64 kmovw k1, eax
	in64 vmovdqu32 zmm0, [rax+64]
	in64 vmovdqu64 zmm20{k1}{z}, [r8+r9*4+0x12345678]
	in64 vpternlogd zmm0, zmm1, [rax], 5
	in64 vpshufd zmm0, [rax], 5
	in64 vcmpps k1, zmm1, [rax], 5
	in64 vfmadd231ps zmm0, zmm1, [rax]{1to16}
	in32 vmovdqu xmm0, [eax]
	in32 vpaddd xmm0, xmm1, xmm2
	in32 vpaddb xmm0, xmm1, xmm2
	in32 vmovdqu32 zmm0, zmm1
	in64 vprotb xmm0, [rax], 5
	in64 vprotb xmm0, xmm1, [rax]
	in64 vpcmov xmm0, xmm1, xmm2, [rax]
	in64 bextr eax, [rbx], 0x12345678
	in64 vphaddbw xmm0, xmm1
	in64 pop qword [rax+8]
	in64 pop r9
	; Prefixes
	in64 lock inc dword [rax]
	in64 lock add qword [gs:rax], 5
	in64 rep movsb
	in64 repne scasb
	in64 a32 rep stosq
	in64 db 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x90
	in64 db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
	in64 db 0x40, 0x41, 0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8
	in64 db 0x48, 0x66, 0xB8, 1, 2
	in1632 inc eax
	in1632 dec cx
	in1632 db 0x48
	db 0

section .note.GNU-stack noalloc noexec nowrite progbits
