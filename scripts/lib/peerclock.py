"""How long it takes, in the emulated machine's own time, from a command to the first instruction of the guest that it starts.

Where an instruction is a nanosecond, this is a count of instructions, and of what the machine waits in between. The debugger stops the machine
at both; the time is read from the ACPI timer and, since that wraps each 4.7 s, from the real-time clock's seconds."""
import os
import re
import subprocess

import gdbstub
import iotrace
import machine
import phases

MARK = os.path.join(machine.BUILD, "guest", "mark")
BENCH = os.path.join(machine.BUILD, "guest", "bench.elf64")
PM_TIMER = 0x608  # where the firmware of QEMU's q35 puts it
PM_HZ = 3579545
PM_WRAP = 1 << 24
RTC_SECONDS = 0x00
LIMIT_S = 600


def build_mark():
    """The program `mark`; its file."""
    os.makedirs(os.path.dirname(MARK), exist_ok=True)
    subprocess.run([*iotrace.COMPILE, "-o", MARK, os.path.join(machine.ROOT, "scripts", "bench-guest", "mark.c")], check=True)
    return MARK


def address_of(file, name):
    return phases.Symbols(file).of(name)


def elapsed_ns(first, second):
    """Between two readings (ticks of the ACPI timer, seconds of a minute), less than a minute apart."""
    ticks = (second[0] - first[0]) % PM_WRAP
    seconds = (second[1] - first[1]) % 60
    wraps = round((seconds - ticks / PM_HZ) * PM_HZ / PM_WRAP)
    return (ticks + max(wraps, 0) * PM_WRAP) * 1_000_000_000 // PM_HZ


def read(stub):
    """The machine stands still."""
    def port(line):
        return int(re.search(r"= (?:0x)?([0-9a-f]+)", stub.answer(line)).group(1), 16)

    stub.monitor(f"o/b 0x70 {RTC_SECONDS}")
    seconds = port("i/b 0x71")
    return port(f"i/w {PM_TIMER:#x}") % PM_WRAP, (seconds >> 4) * 10 + (seconds & 15)


def between(stub, first, second, command=lambda: None):
    """Nanoseconds from the first address to the second; `command` is called when the machine is about to run."""
    times = []
    for address in (first, second):
        stub.breakpoint(address)
        command()
        if not stub.run():
            raise machine.Failure(f"the machine ended before it came to {address:#x}")
        times.append(read(stub))
        stub.breakpoint(address, False)
        command = lambda: None  # noqa: E731
    return elapsed_ns(*times)


def measure(command, scratch, entry):
    """Of a machine whose host calls `mark`, to the bench guest's label `entry`."""
    port, output = (os.path.join(scratch, name) for name in ("gdb", "serial"))
    with gdbstub.machine_at(command, port, output, LIMIT_S) as stub:
        return between(stub, address_of(MARK, "bench_mark"), address_of(BENCH, entry))
