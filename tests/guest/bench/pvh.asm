; The bench guest's second door, for hosts that know Multiboot no more: an ELF note tells where PVH enters (Xen's "x86/HVM direct boot
; ABI"), and what it brings is told again as Multiboot information. So one image starts under Hilum, KVM's QEMU and Xen.
;
; In:  ebx = physical address of struct hvm_start_info, below 4 GiB and outside this image; flat 32-bit protected mode, no paging
; Out: as GRUB enters: eax = 0x2BADB002, ebx = Multiboot information in .data, which guest_entry does not clear; all else is lost
bits 32

MB_MAGIC	equ 0x2BADB002
MB_MEMORY	equ 1 << 0
MB_CMDLINE	equ 1 << 2
PVH_CMDLINE	equ 24			; of struct hvm_start_info; the memory map is there since version 1
PVH_MAP		equ 40
PVH_MAP_COUNT	equ 48
MAP_SIZE	equ 8			; of an entry: address, size, type, 24 bytes in all
MAP_TYPE	equ 16
MAP_BYTES	equ 24
MAP_RAM		equ 1
ONE_MIB		equ 0x100000
NOTE_PHYS32_ENTRY equ 18

extern guest_entry
global pvh_entry

section .note.pvh alloc noexec nowrite align=4
	dd 4, 4, NOTE_PHYS32_ENTRY
	db "Xen", 0
	dd pvh_entry

section .text
pvh_entry:
	mov	eax, [ebx + PVH_CMDLINE]
	mov	[information.cmdline], eax
	mov	esi, [ebx + PVH_MAP]
	mov	ecx, [ebx + PVH_MAP_COUNT]
.entry:	; the RAM that this image lies in
	test	ecx, ecx
	jz	.done
	cmp	dword [esi + MAP_TYPE], MAP_RAM
	jne	.next
	cmp	dword [esi + 4], 0
	jne	.next
	mov	eax, [esi]
	cmp	eax, ONE_MIB
	ja	.next
	add	eax, [esi + MAP_SIZE]
	cmp	eax, ONE_MIB
	jbe	.next
	sub	eax, ONE_MIB
	shr	eax, 10
	mov	[information.upper_kib], eax
	or	dword [information.flags], MB_MEMORY
.next:	add	esi, MAP_BYTES
	dec	ecx
	jmp	.entry
.done:	mov	eax, MB_MAGIC
	mov	ebx, information
	jmp	guest_entry

section .data align=4
information:
.flags:		dd MB_CMDLINE
.lower_kib:	dd 0
.upper_kib:	dd 0
.boot_device:	dd 0
.cmdline:	dd 0

section .note.GNU-stack noalloc noexec nowrite progbits
