"""What a guest's I/O costs outside the guest, per operation: reads of a disk of the machine, packets to another guest.

One emulated core; Debian's cloud kernel in the guest, its disk or card virtio. The backing disk is an NVMe controller of the emulated
machine whose medium answers at once. scripts/lib/iotrace.py counts."""
import functools
import os

import bootcost
import guestconfig
import initramfs
import iotrace
import machine
import peerhost
import phases

# (name, arguments of scripts/bench-guest/io.c, operations)
READS = [("read_4k_depth_1", "read 1 64", 64), ("read_4k_depth_32", "read 32 256", 256)]
# A datagram and its answer are two packets. 18 bytes of payload are a frame of 64, with its checksum; 1,472 a packet of 1,500.
PACKETS = [(f"packet_{size}_depth_{depth}", f"net {depth} {count} {payload}", 2 * count)
           for size, payload in ((64, 18), (1500, 1472)) for depth, count in ((1, 32), (32, 128))]
DISK = ["-blockdev", "driver=null-co,node-name=d0,size=268435456,read-zeroes=on", "-device", "nvme,drive=d0,serial=HILUM-N1,addr=06.0"]
IOMMU = ["-device", "intel-iommu,intremap=on,caching-mode=off,aw-bits=48"]
SERVICE = (0x200000, 0x400000)  # the code of service VMs; programs of Linux begin at the latter
# How an instruction that makes an exit by itself begins; whatever else a guest was left at is an interrupt.
REASONS = {"hlt": (b"\xf4",), "port": (b"\xee", b"\xef", b"\x66\xef", b"\xec", b"\xed", b"\x66\xed"), "wrmsr": (b"\x0f\x30",)}
INTERRUPT = "interrupt"
MEMORY = peerhost.MEMORY
GUEST_MEMORY = "128M"
CMDLINE = peerhost.CMDLINE


def command_of(runs):
    return " && ".join(f"io {arguments}" for _, arguments, _ in runs)


def network(last, command):
    """The guest's command, with its card set up before."""
    return f"ip addr add 10.9.0.{last}/24 dev eth0; ip link set eth0 up; {command}"


def guest_initrd(scratch):
    """The test guest's, with the program in it: a second archive behind the first."""
    more, whole = os.path.join(scratch, "io.cpio.gz"), os.path.join(scratch, "initrd-io.cpio.gz")
    iotrace.build_program()
    initramfs.write(more, [f"exec:sbin/io={iotrace.PROGRAM}"])
    return peerhost.joined(whole, [guestconfig.DEFAULT_GUEST["initrd"], more])


def hilum_table(name, command, device):
    table = guestconfig.vm_table(name, "vmlinuz", initrd="initrd", cmdline=f'{CMDLINE} hilum.run="{command}"', memory=GUEST_MEMORY)
    return f"{table}\n{device}\n"


def boot(runs, tables, scratch):
    """A Counts of each of the runs."""
    config = os.path.join(scratch, "hilum.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(guestconfig.config_text(*tables))
    image = machine.make_image(os.path.join(scratch, "io.iso"), config,
                               {"vmlinuz": guestconfig.DEFAULT_GUEST["vmlinuz"], "initrd": guest_initrd(scratch)})
    command = machine.qemu_command(image, scratch, smp=1, memory=MEMORY, counted=True, cpu=peerhost.CPU, extra=[*IOMMU, *DISK])
    return iotrace.measure(command, scratch, len(runs), SERVICE)


def reads(scratch):
    return boot(READS, [hilum_table("reader", command_of(READS), '[[vm.disk]]\ndevice = "HILUM-N1"')], scratch)


def packets(scratch):
    card = "[[vm.nic]]"
    return boot(PACKETS, [hilum_table("sender", network(1, command_of(PACKETS)), card),
                          hilum_table("peer", network(2, "io echo"), card)], scratch)


@functools.cache
def guest_kernel():
    """The guest's kernel as loaded: (address, bytes) of each segment. It runs where it is linked (nokaslr)."""
    with open(guestconfig.DEFAULT_GUEST["vmlinuz"], "rb") as file:
        elf = bootcost.unpack(file.read())
    return [(header[3], elf[header[2]:header[2] + header[5]]) for header in bootcost.program_headers(elf)]


def reason_at(address):
    """Why the guest was left at that instruction of its."""
    for start, code in guest_kernel():
        if start <= address < start + len(code):
            first = code[address - start:address - start + 2]
            return next((reason for reason, begins in REASONS.items() if first.startswith(begins)), INTERRUPT)
    return INTERRUPT


class Figure:
    """Of one operation: instructions outside the guest, exits of the guest, and how many of these for each reason."""

    def __init__(self, name, operations, counts):
        self.name = name
        self.cost = counts.total() / operations
        self.exits = counts.exits() / operations
        self.reasons = dict.fromkeys((*REASONS, INTERRUPT), 0)
        for address, times in counts.left.items():
            self.reasons[reason_at(address)] += times / operations


def figures(runs, counts):
    return [Figure(name, operations, count) for (name, _, operations), count in zip(runs, counts, strict=True)]


def disk(scratch):
    """The figures of Hilum."""
    return figures(READS, reads(scratch))


def net(scratch):
    return figures(PACKETS, packets(scratch))


def table(own, kvm):
    """For a person: what Hilum and a peer cost, an operation a row."""
    lines = [f"{'':24}{'Hilum':>9}{'peer':>9}{'ratio':>8}{'exits':>8}{'at HLT':>8}{'peer':>7}{'at HLT':>8}"]
    for a, b in zip(own, kvm, strict=True):
        lines.append(f"{a.name:24}{a.cost:9.0f}{b.cost:9.0f}{a.cost / b.cost:8.3f}{a.exits:8.2f}{a.reasons['hlt']:8.2f}"
                     f"{b.exits:7.2f}{b.reasons['hlt']:8.2f}")
    return "\n".join(lines)


def functions(counts, operations):
    """For a person: what was executed most outside the guest, in root mode and in the driver VM, an operation."""
    lines = []
    for kind, executed, image in (("root mode", counts.outside, "hilum"), ("driver VM", counts.service, "driver")):
        symbols, names = phases.Symbols(os.path.join(machine.BUILD, f"{image}.elf")), {}
        for address, times in executed.items():
            name = symbols.at(address)
            names[name] = names.get(name, 0) + times
        dearest = sorted(names.items(), key=lambda item: -item[1])[:24]
        lines.append(f"  {kind} {executed.total() / operations:.0f}: " +
                     ", ".join(f"{name} {times / operations:.1f}" for name, times in dearest))
    return "\n".join(lines)
