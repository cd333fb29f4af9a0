"""The emulated machine that Hilum boots in: how QEMU is called, and what the serial line says about how it ended."""
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import gpt

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
GUEST = os.path.join(ROOT, "cache", "guest")
# Built by scripts/fetch-qemu, or Debian's own, where several CPUs run guests with a fault now and then.
BUILT_QEMU = os.path.join(ROOT, "cache", "qemu", "qemu-system-x86_64")
DEBIANS_QEMU = "/usr/bin/qemu-system-x86_64"
QEMU = os.environ.get("HILUM_QEMU") or (BUILT_QEMU if os.access(BUILT_QEMU, os.X_OK) else DEBIANS_QEMU)
# With the places where Debian keeps its firmware.
QEMU_COMMAND = [QEMU, "-L", "/usr/share/qemu", "-L", "/usr/share/seabios", "-L", "/usr/lib/ipxe/qemu"]
OVMF = "/usr/share/OVMF"
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Exit statuses of scripts/run. A guest's debug-exit value up to DEBUG_EXIT_MAX is passed on as it is.
DEBUG_EXIT_MAX = 119
EXIT_USAGE = 2
EXIT_CRASH = 120
EXIT_PANIC = 121
EXIT_TIMEOUT = 122
EXIT_FAILED = 123
EXIT_INTERRUPTED = 130

# What the machine of a plain run has beside its processors: an IOMMU, which devices must not go round, a card and a disk.
IOMMU = ["-device", "intel-iommu,intremap=on,aw-bits=48"]
BEHIND_IOMMU = "disable-legacy=on,iommu_platform=on"
DISK_SERIAL = "scratch"
STATE_SERIAL = "state"
DISK_MIB = 256
API_CARD = "52:54:00:12:34:56"  # of a plain run's card
API_ADDRESS = "10.0.2.20"  # of the control VM in QEMU's network

# The shape of counted runs: one instruction is one nanosecond, and nothing differs between two runs.
COUNTED = ["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]
COUNTED_CPU = "EPYC,+svm,-rdrand,-rdseed"


class Failure(Exception):
    """Something outside Hilum that is wrong: a missing file, a tool that fails. The text is for the user."""


def make_image(output, config=None, modules=None, pxe=False, cmdline="", kernel=None, control=None, driver=None, sign=None):
    """Writes an ISO (or, with pxe, a netboot tree) to output. modules: name -> file. config: a file or "none"."""
    command = [os.path.join(ROOT, "scripts", "make-image")]
    for option, value in (("--config", config), ("--cmdline", cmdline), ("--kernel", kernel),
                          ("--control", control), ("--driver", driver), ("--sign", sign)):
        if value:
            command += [option, value]
    for name, path in (modules or {}).items():
        command += ["--module", f"{name}={path}"]
    command += (["--pxe"] if pxe else []) + [output]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure(done.stdout.strip())
    return output


def firmware_args(firmware, scratch):
    """BIOS is QEMU's default. UEFI gets its variables in a private copy, since firmware writes to them."""
    if firmware == "bios":
        return []
    variables = os.path.join(scratch, "uefi-variables.fd")
    shutil.copyfile(os.path.join(OVMF, "OVMF_VARS_4M.fd"), variables)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


def boot_args(boot, image, firmware):
    """The medium: an ISO as a CD or as a USB stick, or a netboot tree that QEMU's own DHCP and TFTP servers offer."""
    if boot == "cd":
        return ["-drive", f"if=none,id=cd,format=raw,media=cdrom,readonly=on,file={image}",
                "-device", "ide-cd,drive=cd,bootindex=0", "-nic", "none"]
    if boot == "usb":
        return ["-drive", f"if=none,id=stick,format=raw,readonly=on,file={image}", "-device", "qemu-xhci",
                "-device", "usb-storage,drive=stick,bootindex=0", "-nic", "none"]
    core = "boot/grub/x86_64-efi/core.efi" if firmware == "uefi" else "boot/grub/i386-pc/core.0"
    return ["-netdev", f"user,id=net,tftp={image},bootfile={core}", "-device", "virtio-net-pci,netdev=net,bootindex=0"]


def ext4_image(path, mib):
    """An empty ext4 file system in a sparse file."""
    with open(path + ".new", "wb") as file:
        file.truncate(mib << 20)
    done = subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", path + ".new"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure(f"mke2fs: {done.stdout.strip()}")
    os.replace(path + ".new", path)
    return path


def state_image(path):
    """A disk whose one partition Hilum keeps its state in, empty."""
    with open(path + ".new", "wb") as file:
        file.write(gpt.state_disk())
    os.replace(path + ".new", path)
    return path


def scratch_disks(scratch, reset_state=False):
    """The images of the disks of a plain run, the guest's and the one for Hilum's state, which are kept from run to run in
    build/disk.img and build/state.img, and the file whose lock is held while they are used. A second run at the same time gets empty
    ones of its own."""
    lock = open(os.path.join(BUILD, "disk.lock"), "wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("run: another run uses build/disk.img and build/state.img: this one has empty disks", file=sys.stderr)
        return ext4_image(os.path.join(scratch, "disk.img"), DISK_MIB), state_image(os.path.join(scratch, "state.img")), lock
    image, state = os.path.join(BUILD, "disk.img"), os.path.join(BUILD, "state.img")
    if not os.path.exists(image):
        ext4_image(image, DISK_MIB)
    if reset_state or not os.path.exists(state):
        state_image(state)
    return image, state, lock


def free_port(first):
    """The first port of this host's loopback from there on that nobody has."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Failure(f"no port from {first} to {first + 99} is free")


def user_network(api_port=None):
    """QEMU's own network: its gateway, 10.0.2.2, is this host. A port of this host's loopback leads to the control VM's HTTPS."""
    return "user,id=user" + (f",hostfwd=tcp:127.0.0.1:{api_port}-{API_ADDRESS}:443" if api_port else "")


def plain_devices(image, state, api_port=None):
    """QEMU's arguments for the devices of a plain run, with the disks of scratch_disks."""
    return [*IOMMU, "-netdev", user_network(api_port), "-device", f"virtio-net-pci,netdev=user,mac={API_CARD},{BEHIND_IOMMU}",
            "-drive", f"file={image},if=none,id=scratch,format=raw,discard=unmap",
            "-device", f"virtio-blk-pci,drive=scratch,serial={DISK_SERIAL},{BEHIND_IOMMU}",
            "-drive", f"file={state},if=none,id=state,format=raw",
            "-device", f"virtio-blk-pci,drive=state,serial={STATE_SERIAL},{BEHIND_IOMMU}"]


def qemu_command(image, scratch, *, boot="cd", firmware="bios", smp=2, memory="1G", cpu="max", counted=False,
                 gdb=False, monitor=None, extra=()):
    """The machine's serial line is QEMU's standard input and output. memory in QEMU's notation."""
    command = [*QEMU_COMMAND, "-machine", "q35", "-cpu", COUNTED_CPU if counted and cpu == "max" else cpu, "-m", memory,
               "-smp", str(smp), "-accel", "tcg" if counted else "tcg,thread=multi"]
    if counted:
        command += COUNTED
    command += ["-display", "none", "-no-reboot", "-no-user-config",
                "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
                "-monitor", f"unix:{monitor},server=on,wait=off" if monitor else "none"]
    if gdb:
        command += ["-gdb", "tcp:127.0.0.1:1234"]
    return command + firmware_args(firmware, scratch) + boot_args(boot, image, firmware) + list(extra)


class Verdict:
    """Reads the serial stream as it comes and says how the machine's run ended.

    A guest can print what it likes, also a line of Hilum's form. It cannot after its own end, so the last line about each
    VM counts."""

    ENDED = re.compile(r"hilum: vm (\S+) ended: (poweroff|reset|crash|debug-exit (\S+))")
    REFUSED = re.compile(r"hilum: cannot start: (.*)")
    PANIC = re.compile(r"hilum: panic:")

    def __init__(self):
        self.ends = {}
        self.panicked = False
        self.refused = False
        self.booted = False
        self.partial = ""

    def feed(self, data):
        lines = (self.partial + data.decode("utf-8", "replace")).split("\n")
        self.partial = lines.pop()[-4096:]
        for line in lines:
            self.line(line)

    def line(self, text):
        if "hilum: " not in text:
            return
        self.booted = True
        if self.PANIC.search(text):
            self.panicked = True
        if self.REFUSED.search(text):
            self.refused = True
        ended = self.ENDED.search(text)
        if ended:
            self.ends[ended.group(1)] = (ended.group(2).split()[0], ended.group(3))

    @property
    def halted(self):
        """Has Hilum said that it does nothing more?"""
        return self.panicked or self.refused

    def status(self):
        """Exit status for a machine that has stopped by itself. With several VMs the worst counts."""
        self.line(self.partial)
        if self.panicked:
            return EXIT_PANIC
        if self.refused:
            return EXIT_FAILED
        return max((self.status_of(*end) for end in self.ends.values()), default=EXIT_FAILED)

    @staticmethod
    def status_of(kind, value):
        if kind == "crash":
            return EXIT_CRASH
        if kind != "debug-exit":
            return 0
        try:
            return min(int(value, 0), DEBUG_EXIT_MAX)
        except ValueError:
            return EXIT_FAILED

    def sentence(self):
        """What happened, for a person; empty if Hilum has said it all itself."""
        if self.panicked:
            return "Hilum panicked"
        if self.refused:
            return ""
        if not self.booted:
            return "Hilum did not boot"
        if not self.ends:
            return "the machine stopped before any virtual machine had ended"
        return ""


def spawn(command, **keywords):
    """Starts an emulator in a session of its own, so that a Ctrl-C at the user's terminal reaches only us; and it dies with us,
    however we end."""
    def child():
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(command, preexec_fn=child, **keywords)


class Running:
    """A machine that runs: stdin and stdout are its serial line, as binary files without buffers."""

    name = "QEMU"

    def __init__(self, process):
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    def read(self):
        """What the machine has printed, once select() says that there is something; nothing when it is off."""
        try:
            return os.read(self.stdout.fileno(), 65536)
        except ConnectionResetError:  # an emulator that ends with keys not taken
            return b""

    def complaint(self):
        """Why the emulator, not the machine in it, has ended; None if it did as it should."""
        return f"QEMU ended with status {self.process.returncode}" if self.process.returncode else None

    def stop(self):
        """Ends the emulator if it still runs. It has no file that outlives the run, so it needs no orderly end."""
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def start_qemu(command):
    return Running(spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


class Scratch(tempfile.TemporaryDirectory):
    """A directory for one machine's image and variables, gone when the machine is."""

    def __init__(self):
        os.makedirs(os.path.join(BUILD, "tmp"), exist_ok=True)
        super().__init__(dir=os.path.join(BUILD, "tmp"), prefix="machine.")
