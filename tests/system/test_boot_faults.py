"""What may go wrong before there is a guest: bits that are wrong in the boot modules and in the firmware's ACPI tables, and memory that is
not to be had. Each boot either comes to the guest's prompt, or says in a sentence what is wrong. QEMU's debugger port does the damage, at
Hilum's first instruction in C or at an allocation; what is damaged follows from the seed or the number that a failure tells."""
import collections
import os
import random
import re
import struct
import subprocess
import tempfile
import time

import gdbstub
from harness import Failed, Machine, each, equal, linux, long, machine, true

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
    ("the guest is not started", r"hilum: [^\r\n]*(no VM was started|no boot module is named|is no service image)[^\r\n]*"),
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


class Debugged:
    """A machine that stands still before its first instruction, and the debugger that holds it: a context manager of both."""

    def __init__(self, **hardware):
        self.hardware = hardware

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hilum-")
        path = os.path.join(self.directory.name, "gdb")
        config = linux(cmdline=f'hilum.run="echo {RUNS.replace(" ", "  ", 1)}"')
        self.machine = Machine(config, extra=[*machine.IOMMU, "-S", "-gdb", f"unix:{path},server=on,wait=off"], **self.hardware)
        self.machine.__enter__()
        self.stub = gdbstub.Stub(path)
        text = subprocess.run(["nm", os.path.join(machine.BUILD, "hilum.elf")], check=True, capture_output=True, text=True).stdout
        self.symbols = {name: int(address, 16) for address, name in re.findall(r"^([0-9a-f]+) [tT] (\S+)$", text, re.MULTILINE)}
        return self

    def __exit__(self, *error):
        self.stub.close()
        self.machine.__exit__(*error)
        self.directory.cleanup()

    def watch(self, *names, wanted=True):
        for name in names:
            self.stub.breakpoint(self.symbols[name], wanted)

    def run(self):
        """To the next function that is watched; its name."""
        if not self.stub.run():
            raise Failed("the machine has ended")
        address = self.stub.program_counter()
        return next(name for name, place in self.symbols.items() if place == address)

    def run_to(self, name):
        self.watch(name)
        equal(self.run(), name, "where it stands")
        self.watch(name, wanted=False)


def told(what, m, name=None):
    """How the boot has ended, in words and as a kind; that it has is the test."""
    kind, sentence = outcome(m, name)
    if kind is None:
        raise Failed(f"{what}: {sentence}")
    print(f"{what}: {kind}: {sentence}", flush=True)
    return kind


def report(kinds):
    print(", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()))


def flipped_boots(seeds):
    kinds = collections.Counter()
    for seed in seeds:
        with Debugged() as d:
            d.run_to("boot_main")
            name, what = break_memory(Memory(d.stub), random.Random(seed))
            d.stub.detach()
            kinds[told(f"seed {seed}, {what}", d.machine, name)] += 1
    report(kinds)


def test_bits_flip():
    flipped_boots((2, 4, 5, 8, 9, 10))


@long
@each(**{f"from_{first}": (first,) for first in range(0, 100, 10)})
def test_bits_flip_often(first):
    flipped_boots(range(first, first + 10))


# ---- Memory that is not to be had ----

ALLOCATORS = {"pool_alloc": 0, "pool_alloc_pages": 0, "frame_alloc": -2}  # and what each answers then: NULL, STATUS_NO_MEMORY
FRAME_GUEST = 6  # enum frame_type: the pool's own blocks are not counted twice


def allocations(d):
    """Runs from one to the next, from where the pool is open to the control VM's first hypercall; yields before it happens."""
    d.run_to("pool_open")
    d.watch(*ALLOCATORS, "hypercall_handle")
    while (name := d.run()) != "hypercall_handle":
        if name != "frame_alloc" or d.stub.register(gdbstub.RSI) == FRAME_GUEST:
            yield name
        d.stub.step_over(d.symbols[name])
    d.watch(*ALLOCATORS, "hypercall_handle", wanted=False)


def count_allocations():
    with Debugged(smp=1) as d:
        return sum(1 for _ in allocations(d))


def fail_allocation(number):
    """The boot's outcome without it. On one core: which one stands at a breakpoint is then no question."""
    with Debugged(smp=1) as d:
        for at, name in enumerate(allocations(d)):
            if at < number:
                continue
            stack = d.stub.register(gdbstub.RSP)
            d.stub.set_registers({gdbstub.RAX: ALLOCATORS[name] & (1 << 64) - 1, gdbstub.RSP: stack + 8,
                                  gdbstub.RIP: int.from_bytes(d.stub.read(stack, 8), "little")})
            d.watch(*ALLOCATORS, "hypercall_handle", wanted=False)
            d.stub.detach()
            return told(f"allocation {number}, {name}", d.machine)
    raise Failed(f"there is no allocation {number}")


def without_memory(numbers):
    report(collections.Counter(fail_allocation(number) for number in numbers))


def test_memory_is_not_to_be_had():
    without_memory((1, 12))


@long
@each(**{f"from_{part}": (part,) for part in range(4)})
def test_memory_is_not_to_be_had_anywhere(part):
    count = count_allocations()
    true(count > 40, f"{count} allocations in a boot")
    print(f"{count} allocations in a boot")
    without_memory(range(part, count, 4))
