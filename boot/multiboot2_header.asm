; The Multiboot2 header: asks GRUB for nothing but page-aligned modules and a screen if there is one; the rest it
; passes unasked.
; Multiboot2 Specification 2.0, 3.1 OS image format.
MB2_MAGIC    equ 0xE85250D6
MB2_ARCH_386 equ 0

section .multiboot2 progbits alloc noexec nowrite align=8
header:
	dd MB2_MAGIC
	dd MB2_ARCH_386
	dd header.end - header
	dd -(MB2_MAGIC + MB2_ARCH_386 + (header.end - header)) & 0xFFFFFFFF
.console:                       ; flags bit 1: EGA text is supported, bit 0 clear: no console is required
	dw 4, 1
	dd 12
	dd 2
	align 8, db 0
.framebuffer:                   ; optional, any size, 32 bits a pixel preferred
	dw 5, 1
	dd 20
	dd 0, 0, 32
	align 8, db 0
.modules_on_pages:
	dw 6, 1
	dd 8
	dw 0, 0                 ; end
	dd 8
.end:

section .note.GNU-stack noalloc noexec nowrite progbits
