"""Bochs as the machine that Hilum boots in: its configuration, its start, and its serial line.

Bochs counts time in instructions: IPS of them are one of its seconds, on the TSC, the local APIC and every timer alike. It runs all
cores in one thread, in turn. Its serial line is a TCP connection to us, the one mode that has both directions and waits for a
slow reader."""
import os
import re
import socket
import subprocess

import machine

# Built by scripts/fetch-bochs, and Debian's own, which is older and slower.
BUILT = os.path.join(machine.ROOT, "cache", "bochs", "bochs")
DEBIAN = "/usr/bin/bochs"
ROMS = "/usr/share/bochs"
# Debian's delivers virtual interrupts to guests that have interrupts off: the model without them takes the place of this one.
DEBIANS_CPU = {"corei7_icelake_u": "corei3_cnl"}
DEFAULT_CPU = "corei7_icelake_u"
IPS = 200_000_000
FIXED_CLOCK = 1767225600  # 2026-01-01 00:00 UTC, for runs that are to repeat
MEMORY_LIMIT_MIB = 2048
CONNECT_S = 60
UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}  # QEMU's: a plain number is MiB


def program():
    """The Bochs to run: HILUM_BOCHS if set, else the one that was built here, else Debian's."""
    for path in (os.environ.get("HILUM_BOCHS"), BUILT, DEBIAN):
        if path and os.path.exists(path):
            return path
    raise machine.Failure("there is no Bochs here; scripts/setup bochs installs it")


def is_debian(path):
    return os.path.realpath(path).startswith("/usr/")


def mebibytes(memory):
    number, unit = re.fullmatch(r"(\d+)([KMGT]?)", memory).groups()
    mib = int(number) * UNITS[unit] >> 20
    if not 32 <= mib <= MEMORY_LIMIT_MIB:
        raise machine.Failure(f"Bochs emulates 32M to {MEMORY_LIMIT_MIB >> 10}G of memory, not {memory}")
    return mib


def configuration(image, scratch, path, port, *, smp, memory, cpu, paced=False, clock="utc"):
    """Text of the configuration file. paced: the machine's seconds are not shorter than ours. clock: its time at power-on."""
    mib = mebibytes(memory)
    if is_debian(path):
        cpu = DEBIANS_CPU.get(cpu, cpu)
    lines = [f"cpu: model={cpu}, count={smp}, ips={IPS}, reset_on_triple_fault=0, ignore_bad_msrs=0",
             f"memory: guest={mib}, host={mib}",
             f"romimage: file={ROMS}/BIOS-bochs-latest, options=fastboot",
             f"vgaromimage: file={ROMS}/VGABIOS-lgpl-latest",
             "pci: enabled=1, chipset=i440fx",
             f"ata0-master: type=cdrom, path={image}, status=inserted",
             "boot: cdrom",
             f"clock: sync={'slowdown' if paced else 'none'}, time0={clock}",
             f"com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}",
             "panic: action=fatal", "error: action=ignore", "info: action=ignore", "debug: action=ignore",
             f"log: {os.path.join(scratch, 'bochs.log')}"]
    if is_debian(path):  # built with plug-ins, the debugger, and no display but ncurses, which knows no graphics
        return "\n".join(["config_interface: textconfig", "display_library: term", "vga: extension=none",
                          "plugin_ctrl: unmapped=1, biosdev=1, serial=1", *lines, ""])
    return "\n".join(["display_library: nogui", *lines, ""])


class Running(machine.Running):
    """A Bochs that runs. Its own exit status says nothing: it is 1 even after an orderly power-off."""

    name = "Bochs"
    POWERED_OFF = ("soft power off", "shutdown requested")

    def __init__(self, process, connection, log):
        self.process, self.connection, self.log = process, connection, log
        self.stdin = self.stdout = connection

    def complaint(self):
        """What Bochs itself stopped for, or None after a power-off."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                found = re.findall(r">>PANIC<< (.*)", file.read())
        except OSError:
            found = []
        reasons = [reason for reason in found if not any(word in reason for word in self.POWERED_OFF)]
        return f"Bochs stopped: {reasons[0]}" if reasons else None


def start(image, scratch, *, cpu=DEFAULT_CPU, smp=2, memory="1G", paced=False, clock="utc"):
    path = program()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        config, commands = os.path.join(scratch, "bochsrc"), os.path.join(scratch, "bochs.commands")
        with open(config, "w", encoding="utf-8") as file:
            file.write(configuration(image, scratch, path, listener.getsockname()[1], smp=smp, memory=memory, cpu=cpu,
                                     paced=paced, clock=clock))
        command = [path, "-q", "-f", config]
        if is_debian(path):
            with open(commands, "w", encoding="utf-8") as file:
                file.write("c\n")
            command += ["-rc", commands]
        console = os.path.join(scratch, "bochs.console")
        with open(console, "wb") as output:
            process = machine.spawn(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=scratch,
                                    env={**os.environ, "TERM": "vt100", "HOME": scratch})
        for _ in range(int(CONNECT_S / 0.1)):
            try:
                connection, _ = listener.accept()
                return Running(process, connection.makefile("rwb", buffering=0), os.path.join(scratch, "bochs.log"))
            except TimeoutError:
                if process.poll() is not None:
                    break
    process.kill()
    process.wait()
    with open(console, encoding="utf-8", errors="replace") as file:
        raise machine.Failure(f"Bochs did not start: {file.read()[-800:].strip()}")
