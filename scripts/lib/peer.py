"""KVM as a peer: the same guests on the same emulated machine, with Debian's kernel as the host and Debian's QEMU in it as the guests'
devices. Host and Linux guests boot the same kernel; scripts/fetch-peer has put the host's modules into cache/peer, and QEMU is the one that
is installed here."""
import os
import re

import bootcost
import guestconfig
import iobench
import iotrace
import machine
import peerclock
import peerhost

NAME = "KVM"
MODULES = os.path.join(peerhost.PEER, "modules")
LOADED = ("irqbypass", "kvm", "kvm-amd", "tun", "tap", "vhost_iotlb", "vhost", "vhost_net", "llc", "stp", "bridge")
# Polling makes answers sooner at the price of instructions that do nothing; the peer is to do without.
PARAMETERS = {"kvm": "halt_poll_ns=0"}
FIRMWARE = {"bios-256k.bin": "/usr/share/seabios/bios-256k.bin", "bios-microvm.bin": "/usr/share/qemu/qboot.rom",
            **{name: f"/usr/share/qemu/{name}" for name in ("linuxboot_dma.bin", "multiboot_dma.bin", "pvh.bin", "kvmvapic.bin")}}
# As for Hilum: one vCPU, a virtio device behind PCI Express, modern only. ioeventfd, in-kernel interrupt controllers and MSI-X are
# defaults.
QEMU = ("/bin/qemu -L /peer/share -machine {machine},accel=kvm -cpu host -m {memory} -nodefaults -no-user-config -display none -serial {serial}"
        " -device isa-debug-exit,iobase=0xf4,iosize=1 -kernel {kernel} -append '{cmdline}'")
# Fewer devices for Linux to find; what Hilum's guests have, besides PCI.
MICROVM = "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on"
LINUX = " -initrd {initrd}"
DISK = " -object iothread,id=t,poll-max-ns=0 -blockdev driver=host_device,node-name=d,filename=/dev/nvme0n1,cache.direct=on,aio={aio}" \
       " -device virtio-blk-pci,drive=d,iothread=t,disable-legacy=on"
CARD = " -netdev tap,id=n,ifname=tap{last},script=no,downscript=no,vhost={vhost}" \
       " -device virtio-net-pci,netdev=n,mac=52:54:00:00:00:0{last},romfile=,disable-legacy=on"
# A device for the doorbell; its notification by port, which costs KVM less than the one in memory that is QEMU's default.
DOORBELL = " -device virtio-serial-pci,disable-legacy=on,modern-pio-notify=on"
BRIDGE = "ip link add br0 type bridge; ip link set br0 up; for n in 1 2; do tunctl -t tap$n; ip link set tap$n up; brctl addif br0 tap$n; done"
# So that the nested page fault is one of 4 KiB; a large page has none for its other 511.
SMALL_PAGES = "echo never >/sys/kernel/mm/transparent_hugepage/enabled\n"
FREE = "sync; echo 3 >/proc/sys/vm/drop_caches; sleep 2; echo \"peer: free $1 $(sed -n 's/MemFree: *//p' /proc/meminfo)\"\n"
VMS = 3
VM_MIB = 64


def host_command(scratch, script, guests, cmdline="", extra=()):
    """The machine with a host that runs the script. guests: their files; cmdline: more for the host's kernel."""
    script = "".join(f"insmod /peer/{name}.ko {PARAMETERS.get(name, '')} || exit 1\n" for name in LOADED) + script
    qemu = machine.DEBIANS_QEMU
    files = {"bin/qemu": qemu, **peerhost.libraries(qemu), **guests, "bin/mark": peerclock.build_mark(),
             **{f"peer/share/{name}": path for name, path in FIRMWARE.items()},
             **{f"peer/{name}.ko": os.path.join(MODULES, f"{name}.ko") for name in LOADED}}
    return peerhost.command(guestconfig.DEFAULT_GUEST["vmlinuz"], peerhost.host_initrd(scratch, "kvm", files, script),
                            f'{peerhost.CMDLINE} {cmdline} hilum.run="sh /peer/start"', extra)


def guest(cmdline, device="", *, kernel="/peer/bench.elf", initrd=None, memory="64M", serial="stdio", of="q35"):
    """The command line of one guest's QEMU, whose machine is one `of` that type."""
    command = QEMU.format(machine=of, memory=memory, serial=serial, kernel=kernel, cmdline=cmdline)
    return command + (LINUX.format(initrd=initrd) if initrd else "") + device


def exits(scratch):
    """name -> instructions of the bench guest's operations. QEMU's exit status is 1 after a guest's debug exit with 0."""
    return peerhost.bench_figures(peerhost.run(host_command(scratch, f"{SMALL_PAGES}{guest('count=200', DOORBELL)}; [ $? = 1 ]\n",
                                                            peerhost.bench_files())))


def linux(scratch):
    """Instructions from the kernel's first to init's first. Init's debug exit does not get through here, but its end does."""
    script = guest(f"{bootcost.CMDLINE} panic=-1", " -no-reboot", kernel="/peer/timed", initrd="/peer/timed.initrd", memory="256M", of=MICROVM)
    text = peerhost.run(host_command(scratch, f"{script}\n", peerhost.timed_files(scratch)))
    return peerhost.figure(text, r"bench: linux_to_init ([1-9]\d*) instructions")


def memory(scratch):
    """Bytes of the host that a VM takes besides its RAM, on average of some: QEMU, its page tables, KVM's. QEMU's program is in memory before."""
    one = guest("hold=1", " -mem-prealloc", serial="file:/tmp/vm$n", memory=f"{VM_MIB}M")
    script = f"free() {{ {FREE.strip()}; }}\n/bin/qemu -version\nfree before\nfor n in {' '.join(map(str, range(VMS)))}; do\n{one} &\n" \
             "until grep -q holding /tmp/vm$n; do sleep 1; done\ndone\nfree after\nkillall qemu\n"
    text = peerhost.run(host_command(scratch, script, peerhost.bench_files()))
    free = {name: int(kib) for name, kib in re.findall(r"peer: free (\w+) (\d+) kB", text)}
    return ((free["before"] - free["after"]) * 1024 - (VMS * VM_MIB << 20)) // VMS


def create(scratch):
    """Nanoseconds of the machine from QEMU's start to the guest image's first instruction, SeaBIOS and QEMU's loader among them."""
    return peerclock.measure(host_command(scratch, f"/bin/mark {guest('hold=1')}\n", peerhost.bench_files()), scratch, "guest_entry")


def boot(runs, script, scratch, cmdline=""):
    """A Counts of each of the runs that the script's guests make."""
    guests = {"peer/vmlinuz": guestconfig.DEFAULT_GUEST["vmlinuz"], "peer/initrd": iobench.guest_initrd(scratch)}
    return iotrace.measure(host_command(scratch, script, guests, cmdline, [*iobench.IOMMU, *iobench.DISK]), scratch, len(runs))


def linux_guest(command, device, serial="stdio"):
    return guest(f'{iobench.CMDLINE} hilum.run="{command}"', device, kernel="/peer/vmlinuz", initrd="/peer/initrd",
                 memory=iobench.GUEST_MEMORY, serial=serial)


def reads(scratch, aio="native", cmdline=""):
    return boot(iobench.READS, linux_guest(iobench.command_of(iobench.READS), DISK.format(aio=aio)) + "\n", scratch, cmdline)


def packets(scratch, vhost="on", cmdline=""):
    sender = linux_guest(iobench.network(1, iobench.command_of(iobench.PACKETS)), CARD.format(last=1, vhost=vhost))
    echo = linux_guest(iobench.network(2, "io echo"), CARD.format(last=2, vhost=vhost), "file:/tmp/peer")
    # One after the other: two that boot side by side on one core stall now and then.
    wait = "until grep -q listening /tmp/peer; do sleep 1; done"
    return boot(iobench.PACKETS, f"{BRIDGE}\n{echo} &\n{wait}\n{sender}\n", scratch, cmdline)


def disk(scratch):
    return iobench.figures(iobench.READS, reads(scratch))


def net(scratch):
    return iobench.figures(iobench.PACKETS, packets(scratch))
