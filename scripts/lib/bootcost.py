"""Instructions from a Linux kernel's first to its init's first, on the bare emulator and under Hilum.

The kernel is Debian's, taken out of its bzImage and entered by PVH through a stub that notes the time stamp counter; init
(scripts/bench-guest/init.c) prints the difference. Under -icount one tick is one instruction. The same files run on both.

The bare machines have no TSC-deadline timer, so Linux waits 100 ms there, a hundred million instructions, to calibrate the local
APIC's timer, which a guest of Hilum need not."""
import os
import re
import struct
import subprocess

import guestconfig
import initramfs
import machine

STUB_AT = 0xF00000  # below the kernel, which starts at 16 MiB
STUB_NOTE = 0x4F0  # where init.c looks
PT_LOAD, PT_NOTE, PF_RX = 1, 4, 5
XEN_ELFNOTE_PHYS32_ENTRY = 18
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LIMIT_S = 240
# What a guest of Hilum comes nearest to, and the machine that Hilum itself runs on.
BARE_MACHINES = {"microvm": "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on", "q35": "q35"}
CMDLINE = "console=ttyS0 quiet nokaslr"
COMPILE = ["gcc", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
           "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-no-pie", "-fno-pie", "-Wl,--build-id=none",
           "-Wl,-z,noexecstack", "-s"]


def unpack(bzimage):
    """The ELF in a bzImage (Linux boot protocol 2.08: payload_offset and payload_length, from the protected-mode code)."""
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    payload = bzimage[(setup_sectors + 1) * 512 + offset:][:length]
    if not payload.startswith(LZ4_LEGACY_MAGIC):
        raise machine.Failure("the kernel's payload is not packed by LZ4, as Debian's is")
    # The last four bytes are the unpacked size, which lz4 takes for the start of one more block.
    done = subprocess.run(["lz4", "-d", "-c", "-"], input=payload[:-4], capture_output=True)
    if not done.stdout.startswith(b"\x7fELF"):
        raise machine.Failure(f"lz4 finds no ELF file in the kernel: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def program_headers(elf):
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    return [list(struct.unpack_from("<IIQQQQQQ", elf, offset + i * size)) for i in range(count)]


def entry_note(elf, headers):
    """File offset of the PHYS32_ENTRY note's value."""
    for kind, _, offset, _, _, size, _, _ in headers:
        at = offset
        while kind == PT_NOTE and at + 12 <= offset + size:
            name_size, value_size, note = struct.unpack_from("<III", elf, at)
            value = at + 12 + (name_size + 3) // 4 * 4
            if note == XEN_ELFNOTE_PHYS32_ENTRY and elf[at + 12:at + 16] == b"Xen\0":
                return value
            at = value + (value_size + 3) // 4 * 4
    raise machine.Failure("the kernel has no PVH entry")


def with_stub(elf):
    """The same kernel, entered through a stub in a segment of its own: rdtsc, store, jump to the kernel's entry. It keeps EBX."""
    headers = program_headers(elf)
    note = entry_note(elf, headers)
    entry, = struct.unpack_from("<I", elf, note)
    stub = b"\x0f\x31"  # rdtsc
    stub += b"\xa3" + struct.pack("<I", STUB_NOTE)  # mov [STUB_NOTE], eax
    stub += b"\x89\x15" + struct.pack("<I", STUB_NOTE + 4)  # mov [STUB_NOTE + 4], edx
    stub += b"\xb8" + struct.pack("<I", entry) + b"\xff\xe0"  # mov eax, entry; jmp eax
    image = bytearray(elf) + bytes(-len(elf) % 4096)
    headers.append([PT_LOAD, PF_RX, len(image), STUB_AT, STUB_AT, len(stub), len(stub), 4096])
    image += stub + bytes(-len(stub) % 16)
    struct.pack_into("<I", image, note, STUB_AT)
    struct.pack_into("<Q", image, 32, len(image))
    struct.pack_into("<H", image, 56, len(headers))
    for header in headers:
        image += struct.pack("<IIQQQQQQ", *header)
    return bytes(image)


def prepare(folder):
    """(kernel, initrd) of the measurement, made in folder."""
    kernel, init, initrd = (os.path.join(folder, name) for name in ("vmlinux-timed", "init", "initrd-timed.cpio.gz"))
    with open(guestconfig.DEFAULT_GUEST["vmlinuz"], "rb") as file:
        image = with_stub(unpack(file.read()))
    with open(kernel, "wb") as file:
        file.write(image)
    subprocess.run([*COMPILE, "-o", init, os.path.join(machine.ROOT, "scripts", "bench-guest", "init.c")], check=True)
    initramfs.write(initrd, ["dir:dev", "node:dev/console=c,5,1", "node:dev/mem=c,1,1", f"exec:init={init}"])
    return kernel, initrd


def run(command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise machine.Failure(f"a counted boot of Linux is not done after {LIMIT_S} s: "
                              f"{(error.stdout or b'')[-400:].decode(errors='replace')}") from error
    found = re.search(rb"bench: linux_to_init ([1-9]\d*) instructions", done.stdout)
    if not found:
        raise machine.Failure(f"init has not come up: {done.stdout[-800:].decode(errors='replace')}")
    return int(found.group(1))


def bare(machine_type, kernel, initrd, memory="256M"):
    """On the emulated machine itself, with no more devices than it has to have."""
    return run([*machine.QEMU_COMMAND, "-machine", machine_type, "-cpu", machine.COUNTED_CPU, "-accel", "tcg", *machine.COUNTED,
                "-m", memory, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-kernel", kernel, "-initrd", initrd, "-append", CMDLINE])


def hilum(kernel, initrd, scratch, memory="256M", cpu=machine.COUNTED_CPU, machine_memory="1G"):
    table = guestconfig.vm_table("linux", "kernel", initrd="initrd", cmdline=CMDLINE, memory=memory, debug_exit=0xF4)
    config = os.path.join(scratch, "hilum.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(guestconfig.config_text(table))
    image = machine.make_image(os.path.join(scratch, "hilum.iso"), config, {"kernel": kernel, "initrd": initrd})
    return run(machine.qemu_command(image, scratch, smp=1, memory=machine_memory, counted=True, cpu=cpu))
