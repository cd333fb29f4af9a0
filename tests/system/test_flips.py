"""Bits that are wrong in what Hilum boots with: the boot modules and the firmware's ACPI tables, as they lie in memory at its first
instruction. Each boot either comes to the guest's prompt, or says in a sentence what is wrong. The seeds are fixed; a boot that does
neither says its own."""
import collections
import os
import random
import re
import struct
import subprocess
import tempfile
import time

import gdbstub
from harness import START_S, Failed, Machine, linux, long, machine

RUNS = "flips: the guest runs"
LIMIT_S = 150  # for one boot, on a machine that does other things too
TAG_END, TAG_MODULE, TAG_RSDP = 0, 3, (14, 15)  # Multiboot2 Specification 2.0, 3.6
ACPI_HEADER_BYTES = 36
BITS_MAX = 16

# How a boot may end, the first that matches. Everything else is a failure.
RUNS_KIND, ALIVE_KIND = "the guest runs", "the guest is broken, and Hilum answers"
OUTCOMES = [(kind, re.compile(pattern)) for kind, pattern in (
    (RUNS_KIND, RUNS),
    ("Hilum refuses to start", r"hilum: cannot start: \S[^\r\n]*"),
    ("the guest ends", r"hilum: vm linux ended: \S+|Kernel panic - [^\r\n]*|-- System halted"),
    ("the guest is not started", r"hilum: [^\r\n]*(no VM was started|no boot module is named)[^\r\n]*"),
    ("a service VM is given up", r"hilum: [^\r\n]*(driver VM: [^\r\n]*given up|BEGUN AFRESH)[^\r\n]*"),
)]
GUESTS_OWN = ("vmlinuz", "initrd")  # what is wrong in these is the guest's own affair, also that it waits for ever
GUEST_BEGUN = re.compile(r"hilum: vm linux: Linux bzImage")
QUIET_S = 40  # without output, after which such a guest is not waited for
NEXT_CONSOLE, SHOWING = "\x01\x01\x01", r"\(hilum\) showing "


class Memory:
    """The machine's, at the first instruction in C: what the boot loader has put where."""

    def __init__(self, stub):
        self.stub = stub
        where = stub.register(gdbstub.RSI)
        info = stub.read(where, struct.unpack("<I", stub.read(where, 4))[0])
        self.modules, self.tables = {}, {}
        at = 8
        while (kind := struct.unpack_from("<I", info, at)[0]) != TAG_END:
            size = struct.unpack_from("<I", info, at + 4)[0]
            if kind == TAG_MODULE:
                start, end = struct.unpack_from("<II", info, at + 8)
                self.modules[info[at + 16:at + size].split(b"\0")[0].decode().split()[0]] = (start, end - start)
            elif kind in TAG_RSDP:
                self.tables["RSDP"] = (where + at + 8, size - 8)
                self.read_tables(info[at + 8:at + size])
            at += (size + 7) & ~7

    def read_tables(self, rsdp):
        is_xsdt = rsdp[15] >= 2
        root = struct.unpack_from("<Q", rsdp, 24)[0] if is_xsdt else struct.unpack_from("<I", rsdp, 16)[0]
        width = 8 if is_xsdt else 4
        entries = self.add_table(root)[ACPI_HEADER_BYTES:]
        for at in range(0, len(entries) - width + 1, width):
            table = self.add_table(int.from_bytes(entries[at:at + width], "little"))
            if table[:4] == b"FACP":
                self.add_table(struct.unpack_from("<I", table, 40)[0])  # the DSDT

    def add_table(self, address):
        table = self.stub.read(address, struct.unpack("<I", self.stub.read(address + 4, 4))[0])
        self.tables[table[:4].decode()] = (address, len(table))
        return table

    def flip(self, address, bit):
        self.stub.write(address, bytes([self.stub.read(address, 1)[0] ^ 1 << bit]))

    def mend_checksum(self, name):
        """As firmware would that means what the table says: then its contents count."""
        address, size = self.tables[name]
        at = 8 if name == "RSDP" else 9
        data = self.stub.read(address, 20 if name == "RSDP" else size)
        self.stub.write(address + at, bytes([(data[at] - sum(data)) & 0xFF]))


def break_memory(memory, rng):
    """Flips up to BITS_MAX bits of one module or table; returns its name, and what has been done, in words."""
    in_module = rng.random() < 0.5
    name = rng.choice(sorted(memory.modules if in_module else memory.tables))
    address, size = (memory.modules if in_module else memory.tables)[name]
    count = rng.randint(1, BITS_MAX)
    window = min(size, rng.choice((64, 4096, size)))  # a header has as good a chance as all the rest
    start = rng.choice((0, rng.randrange(size - window + 1)))
    flips = sorted({(start + rng.randrange(window), rng.randrange(8)) for _ in range(count)})
    for offset, bit in flips:
        memory.flip(address + offset, bit)
    mended = not in_module and rng.random() < 0.7
    if mended:
        memory.mend_checksum(name)
    return name, f"{'module' if in_module else 'table'} {name}: {len(flips)} bits of {size} bytes, the first at {flips[0][0]:#x}" + (
        ", checksum right" if mended else "")


def outcome(m, name):
    """The kind and the line, or (None, why it is none)."""
    deadline = time.monotonic() + LIMIT_S
    alive, quiet_since, size = True, time.monotonic(), 0
    while alive and time.monotonic() < deadline:
        alive = m.read(1)
        if m.verdict.panicked:
            m.settle()
            return None, "a panic"
        for kind, pattern in OUTCOMES:
            match = pattern.search(m.text)
            if match:
                return kind, match.group()
        if len(m.text) != size:
            quiet_since, size = time.monotonic(), len(m.text)
        if name in GUESTS_OWN and GUEST_BEGUN.search(m.text) and time.monotonic() - quiet_since > QUIET_S:
            m.send(NEXT_CONSOLE)
            return ALIVE_KIND, m.expect(SHOWING + r"[^\r\n]*").group()
    return None, f"nothing within {LIMIT_S} s" if alive else "the machine is off and has said nothing"


def boot(seed):
    """Boots with what that seed has broken; returns (what was broken, kind, sentence)."""
    rng = random.Random(seed)
    symbols = subprocess.run(["nm", os.path.join(machine.BUILD, "hilum.elf")], check=True, capture_output=True, text=True).stdout
    boot_main = int(re.search(r"^([0-9a-f]+) T boot_main$", symbols, re.MULTILINE).group(1), 16)
    with tempfile.TemporaryDirectory(prefix="hilum-") as directory:
        path = os.path.join(directory, "gdb")
        config = linux(cmdline=f'hilum.run="echo {RUNS.replace(" ", "  ", 1)}"')
        with Machine(config, extra=[*machine.IOMMU, "-S", "-gdb", f"unix:{path},server=on,wait=off"]) as m:
            stub = gdbstub.Stub(path)
            stub.breakpoint(boot_main)
            if not stub.run():
                raise Failed("the machine stopped before Hilum")
            stub.breakpoint(boot_main, False)
            name, what = break_memory(Memory(stub), rng)
            stub.detach()
            kind, sentence = outcome(m, name)
            if kind is None:
                raise Failed(f"seed {seed}: {what}: {sentence}")
            return what, kind, sentence


def boots(seeds):
    counts = collections.Counter()
    for seed in seeds:
        what, kind, sentence = boot(seed)
        counts[kind] += 1
        print(f"seed {seed}: {what}: {kind}: {sentence}", flush=True)
    print(", ".join(f"{kind}: {count}" for kind, count in counts.most_common()))


def test_six_boots():
    boots(range(6))
