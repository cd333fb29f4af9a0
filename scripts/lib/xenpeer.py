"""Xen as a peer: the same guests on the same emulated machine, as PVH domains, with Debian's hypervisor, and its kernel and tools in dom0.
scripts/fetch-peer has put them into cache/peer."""
import glob
import gzip
import os
import re
import shutil

import bootcost
import guestconfig
import initramfs
import iobench
import iotrace
import machine
import peerclock
import peerhost

NAME = "Xen"
ROOT = os.path.join(peerhost.PEER, "xen")
LIBRARIES = os.path.join(ROOT, "usr", "lib", "x86_64-linux-gnu")
PROGRAMS = {**{name: f"usr/lib/xen-4.17/bin/{name}" for name in ("xl", "xenstored", "xenconsoled", "xen-init-dom0")},
            "xenstore-read": "usr/bin/xenstore-read", "xenstore-write": "usr/bin/xenstore-write"}
LIBGCC = "/lib/x86_64-linux-gnu/libgcc_s.so.1"  # which threads load when they end
DOM0 = ("xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xenfs")
DISK_BACK, NET_BACK = ("nvme", "xen-blkback"), ("bridge", "xen-netback")
# dom0 has no use for the rest, and does not give memory back for guests.
HYPERVISOR = "console=com1 com1=115200,8n1 dom0_mem=768M,max:768M noreboot cpuidle=0 smap=hvm smep=hvm iommu=off"
GUESTS_TALK = " guest_loglvl=all"  # what guests write on the debug port comes out
START = """mkdir -p /dev/pts /run/xen /run/xenstored /var/run/xen /var/run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen /var/lock
mount -t xenfs xenfs /proc/xen
xenstored --pid-file /run/xenstored.pid || exit 1
until xenstore-read -s / >/dev/null 2>&1; do sleep 0.1; done
xen-init-dom0 >/dev/null || exit 1
xenconsoled --log=guest --log-dir=/var/log/xen
"""
# What xen-utils-common's scripts do, for the one kind of back end that is here.
HOTPLUG = {"block": """#!/bin/sh
[ "$1" = add ] || exit 0
xenstore-write "$XENBUS_PATH/physical-device" "$(printf %x:%x $(stat -c '0x%t 0x%T' /dev/nvme0n1))" "$XENBUS_PATH/hotplug-status" connected
""", "vif-bridge": """#!/bin/sh
[ "$1" = online ] || exit 0
ip link set "$vif" up; brctl addif br0 "$vif"
xenstore-write "$XENBUS_PATH/hotplug-status" connected
"""}
DOMAIN = """cat >/tmp/{name} <<'END'
name="{name}"
type="pvh"
kernel="{kernel}"
{more}cmdline='{cmdline}'
memory={mib}
vcpus=1
tsc_mode="native"
on_crash="destroy"
on_reboot="destroy"
END
"""
WAIT = "while xl list {name} >/dev/null 2>&1; do sleep 1; done\n"
FRONT = "insmod /lib/modules/xen-{kind}front.ko; "
FREE = 'free() { sleep 2; xl debug-keys m; xl dmesg -c >/tmp/dmesg; echo "peer: free $1 $(sed -n \'s/MemFree: *//p\' /proc/meminfo) ' \
       'xen $(sed -n \'s/.*heap\\[.*\\]: \\([0-9]*\\)kB.*/\\1/p\' /tmp/dmesg | tr \'\\n\' \' \')"; }\n'
VMS = 3
VM_MIB = 64


def modules(names):
    """The kernel's modules with those that they need, in the order in which they can be loaded: name -> file."""
    files = {os.path.basename(path)[:-3].replace("-", "_"): path for path in glob.glob(f"{ROOT}/lib/modules/*/kernel/**/*.ko", recursive=True)}
    found = {}

    def need(name):
        name = name.replace("-", "_")
        if name in found:
            return
        if name not in files:
            raise machine.Failure(f"dom0's kernel has no module {name}")
        with open(files[name], "rb") as file:
            depends = re.search(rb"\0depends=([^\0]*)\0", file.read()).group(1).decode()
        for other in filter(None, depends.split(",")):
            need(other)
        found[name] = files[name]

    for name in names:
        need(name)
    return found


def host_command(scratch, script, guests, more=(), extra=(), hypervisor=""):
    """The machine with a dom0 that runs the script. guests: their files; more: modules besides Xen's own; hypervisor: of its options."""
    loaded = modules((*DOM0, *more))
    script = "".join(f"insmod /peer/{name}.ko || exit 1\n" for name in loaded) + START + script
    files = {"lib/libgcc_s.so.1": LIBGCC, **guests, "bin/mark": peerclock.build_mark(),
             **{f"peer/{name}.ko": file for name, file in loaded.items()}}
    for name, path in PROGRAMS.items():
        program = os.path.join(ROOT, path)
        files.update({f"bin/{name}": program, **peerhost.libraries(program, LIBRARIES)})
    for name, text in {"xl.conf": "autoballoon=0\n", **{f"scripts/{name}": text for name, text in HOTPLUG.items()}}.items():
        files[f"etc/xen/{name}"] = os.path.join(scratch, f"xen-{os.path.basename(name)}")
        with open(files[f"etc/xen/{name}"], "w", encoding="utf-8") as file:
            file.write(text)
    image = os.path.join(scratch, "xen")
    with gzip.open(glob.glob(f"{ROOT}/boot/xen-4.17-amd64.gz")[0]) as packed, open(image, "wb") as file:
        shutil.copyfileobj(packed, file)
    initrd = peerhost.host_initrd(scratch, "xen", files, script)
    kernel = glob.glob(f"{ROOT}/boot/vmlinuz-*")[0]
    return peerhost.command(image, f'{kernel} console=hvc0 quiet nokaslr hilum.run="sh /peer/start",{initrd}',
                            HYPERVISOR + hypervisor, extra)


def domain(cmdline, name="guest", *, kernel="/peer/bench.elf", initrd=None, mib=64, device=""):
    """Writes its configuration, /tmp/NAME."""
    more = (f'ramdisk="{initrd}"\n' if initrd else "") + device
    return DOMAIN.format(name=name, kernel=kernel, more=more, cmdline=cmdline, mib=mib)


def whole_run(guest):
    """To the end of the guest, whose name is guest."""
    return f"{guest}xl create -q /tmp/guest || exit 1\n{WAIT.format(name='guest')}cat /var/log/xen/guest-guest.log 2>/dev/null; true\n"


def exits(scratch):
    """name -> instructions of the bench guest's operations, which it prints on the hypervisor's debug port."""
    command = host_command(scratch, whole_run(domain("count=200")), peerhost.bench_files(), hypervisor=GUESTS_TALK)
    return peerhost.bench_figures(peerhost.run(command))


def linux(scratch):
    cmdline = f"{bootcost.CMDLINE.replace('ttyS0', 'hvc0')} panic=-1"
    script = whole_run(domain(cmdline, kernel="/peer/timed", initrd="/peer/timed.initrd", mib=256))
    text = peerhost.run(host_command(scratch, script, peerhost.timed_files(scratch)))
    return peerhost.figure(text, r"bench: linux_to_init ([1-9]\d*) instructions")


def memory(scratch):
    """Bytes of the machine that a VM takes besides its RAM, on average of some: in the hypervisor and in dom0."""
    names = [f"vm{n}" for n in range(VMS)]
    script = FREE + "".join(domain("hold=1", name, mib=VM_MIB) for name in names) + "free before\n" + \
        "".join(f"xl create -q /tmp/{name} || exit 1\n" for name in names) + "free after\n" + "".join(f"xl destroy {name}\n" for name in names)
    text = peerhost.run(host_command(scratch, script, peerhost.bench_files()))
    free = {name: int(dom0) + sum(map(int, heaps.split()))
            for name, dom0, heaps in re.findall(r"peer: free (\w+) (\d+) kB xen ([\d ]+)", text)}
    if len(free) != 2:
        raise machine.Failure(f"the host has not said what is free: {text[-1500:]}")
    return ((free["before"] - free["after"]) * 1024 - (VMS * VM_MIB << 20)) // VMS


def create(scratch):
    """Nanoseconds of the machine from xl's start to the guest image's first instruction."""
    return peerclock.measure(host_command(scratch, f"{domain('hold=1')}/bin/mark /bin/xl create -q /tmp/guest\n", peerhost.bench_files()),
                             scratch, "pvh_entry")


def boot(runs, script, scratch, more):
    """A Counts of each of the runs that the script's guests make."""
    fronts = os.path.join(scratch, "fronts.cpio.gz")
    initramfs.write(fronts, [f"file:lib/modules/xen-{kind}front.ko={peerhost.PEER}/modules/xen-{kind}front.ko" for kind in ("blk", "net")])
    guests = {"peer/vmlinuz": guestconfig.DEFAULT_GUEST["vmlinuz"],
              "peer/initrd": peerhost.joined(os.path.join(scratch, "initrd-xen.cpio.gz"), [iobench.guest_initrd(scratch), fronts])}
    return iotrace.measure(host_command(scratch, script, guests, more, iobench.DISK), scratch, len(runs))


def linux_guest(name, kind, command, device):
    cmdline = iobench.CMDLINE.replace("ttyS0", "hvc0")
    return domain(f'{cmdline} hilum.run="{FRONT.format(kind=kind)}{command}"', name, kernel="/peer/vmlinuz", initrd="/peer/initrd",
                  mib=int(iobench.GUEST_MEMORY[:-1]), device=device) + f"xl create -q /tmp/{name} || exit 1\n"


def disk(scratch):
    """A block front end, its back end in dom0's kernel on the same NVMe controller."""
    command = f"until [ -e /dev/xvda ]; do sleep 1; done; ln -s xvda /dev/vda; {iobench.command_of(iobench.READS)}"
    script = linux_guest("reader", "blk", command, 'disk=["phy:/dev/nvme0n1,xvda,w"]\n') + WAIT.format(name="reader")
    return iobench.figures(iobench.READS, boot(iobench.READS, script, scratch, DISK_BACK))


def net(scratch):
    """Two network front ends on one bridge of dom0's."""
    def guest(name, last, command):
        return linux_guest(name, "net", "until [ -e /sys/class/net/eth0 ]; do sleep 1; done; " + iobench.network(last, command),
                           f'vif=["bridge=br0,mac=00:16:3e:00:00:0{last}"]\n')

    wait = "until grep -q listening /var/log/xen/guest-echo.log; do sleep 1; done\n"
    script = "ip link add br0 type bridge; ip link set br0 up\n" + guest("echo", 2, "io echo") + wait + \
        guest("sender", 1, iobench.command_of(iobench.PACKETS)) + WAIT.format(name="sender")
    return iobench.figures(iobench.PACKETS, boot(iobench.PACKETS, script, scratch, NET_BACK))
