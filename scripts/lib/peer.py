"""KVM as the peer of scripts/lib/iobench.py: the same guest on the same emulated machine, with Debian's kernel as the host and Debian's
QEMU in it as the guest's devices. Host and guest boot the same kernel; scripts/fetch-peer has put the host's modules into cache/peer,
and QEMU is the one that is installed here."""
import os
import re
import subprocess

import guestconfig
import initramfs
import iobench
import iotrace
import machine

MODULES = os.path.join(machine.ROOT, "cache", "peer", "modules")
LOADED = ("irqbypass", "kvm", "kvm-amd", "tun", "tap", "vhost_iotlb", "vhost", "vhost_net", "llc", "stp", "bridge")
# Polling makes answers sooner at the price of instructions that do nothing; the peer is to do without.
PARAMETERS = {"kvm": "halt_poll_ns=0"}
FIRMWARE = {"bios-256k.bin": "/usr/share/seabios/bios-256k.bin", "linuxboot_dma.bin": "/usr/share/qemu/linuxboot_dma.bin",
            "kvmvapic.bin": "/usr/share/qemu/kvmvapic.bin"}
# As for Hilum: one vCPU, a virtio device behind PCI Express, modern only. ioeventfd, in-kernel interrupt controllers and MSI-X are
# defaults.
QEMU = ("qemu -L /peer/share -machine q35,accel=kvm -cpu host -m {memory} -nodefaults -no-user-config -display none -serial {serial}"
        " -kernel /peer/vmlinuz -initrd /peer/initrd -append '{cmdline} hilum.run=\"{command}\"'")
DISK = " -object iothread,id=t,poll-max-ns=0 -blockdev driver=host_device,node-name=d,filename=/dev/nvme0n1,cache.direct=on,aio={aio}" \
       " -device virtio-blk-pci,drive=d,iothread=t,disable-legacy=on"
CARD = " -netdev tap,id=n,ifname=tap{last},script=no,downscript=no,vhost={vhost}" \
       " -device virtio-net-pci,netdev=n,mac=52:54:00:00:00:0{last},romfile=,disable-legacy=on"
BRIDGE = "ip link add br0 type bridge; ip link set br0 up; for n in 1 2; do tunctl -t tap$n; ip link set tap$n up; brctl addif br0 tap$n; done"


def libraries(program):
    """The shared libraries of a program, and its loader: path in the initramfs -> file."""
    text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found = dict.fromkeys(re.findall(r"(/\S+) \(0x", text))
    return {path.lstrip("/"): os.path.realpath(path) for path in found}


def folders(paths):
    """All folders that files of these paths need, outer ones first."""
    found = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            found["/".join(parts[:depth])] = None
    return list(found)


def host_initrd(scratch, script):
    """The test guest's initramfs with KVM's modules, QEMU, and a guest in it."""
    qemu = machine.DEBIANS_QEMU
    start, more, whole = (os.path.join(scratch, name) for name in ("peer-start", "peer.cpio.gz", "initrd-peer.cpio.gz"))
    with open(start, "w", encoding="utf-8") as file:
        file.write("".join(f"insmod /peer/{name}.ko {PARAMETERS.get(name, '')} || exit 1\n" for name in LOADED) + script)
    files = {"bin/qemu": qemu, **libraries(qemu), "peer/vmlinuz": guestconfig.DEFAULT_GUEST["vmlinuz"],
             "peer/initrd": iobench.guest_initrd(scratch), "peer/start": start,
             **{f"peer/share/{name}": path for name, path in FIRMWARE.items()},
             **{f"peer/{name}.ko": os.path.join(MODULES, f"{name}.ko") for name in LOADED}}
    initramfs.write(more, [f"dir:{path}" for path in folders(files)] + [f"exec:{path}={source}" for path, source in files.items()])
    with open(whole, "wb") as file:
        for part in (guestconfig.DEFAULT_GUEST["initrd"], more):
            with open(part, "rb") as source:
                file.write(source.read())
    return whole


def boot(runs, script, scratch, cmdline=""):
    """A Counts of each of the runs that the script's guests make. cmdline: more for the host's kernel."""
    command = [*machine.QEMU_COMMAND, "-machine", "q35", "-cpu", machine.COUNTED_CPU, "-m", iobench.MEMORY, "-smp", "1", "-accel", "tcg",
               *machine.COUNTED, "-display", "none", "-no-reboot", "-no-user-config", "-serial", "stdio", "-monitor", "none",
               "-nic", "none", *iobench.IOMMU, *iobench.DISK, "-kernel", guestconfig.DEFAULT_GUEST["vmlinuz"],
               "-initrd", host_initrd(scratch, script), "-append", f'{iobench.CMDLINE} {cmdline} hilum.run="sh /peer/start"']
    return iotrace.measure(command, scratch, len(runs))


def guest(command, device, serial="stdio"):
    return QEMU.format(memory=iobench.GUEST_MEMORY, serial=serial, cmdline=iobench.CMDLINE, command=command) + device


def reads(scratch, aio="native", cmdline=""):
    return boot(iobench.READS, guest(iobench.command_of(iobench.READS), DISK.format(aio=aio)) + "\n", scratch, cmdline)


def packets(scratch, vhost="on", cmdline=""):
    sender = guest(iobench.network(1, iobench.command_of(iobench.PACKETS)), CARD.format(last=1, vhost=vhost))
    peer = guest(iobench.network(2, "io echo"), CARD.format(last=2, vhost=vhost), "file:/tmp/peer")
    # One after the other: two that boot side by side on one core stall now and then.
    wait = "until grep -q listening /tmp/peer; do sleep 1; done"
    return boot(iobench.PACKETS, f"{BRIDGE}\n{peer} &\n{wait}\n{sender}\n", scratch, cmdline)


def kvm(scratch):
    """The figures of KVM."""
    return iobench.figures(iobench.READS, reads(scratch)) + iobench.figures(iobench.PACKETS, packets(scratch))
