"""Where the instructions of an exit go: the bench guest's rounds, traced an instruction at a time.

The machine runs at full speed to the guest's first measurement, and singly (QEMU's -singlestep and -d exec,nochain, switched on by
its monitor) through the rounds of each. A round lies between two labels of the guest; each address in between belongs to a function
of the kernel, the driver VM or the guest, and each function to a phase. Of each operation the cheapest round counts, whose sum must be
the figure that the guest itself has printed."""
import bisect
import collections
import contextlib
import os
import re
import subprocess

import gdbstub
import machine

ROUNDS = 12
LIMIT_S = 60
FUNCTIONS_SHOWN = 8
GUEST_END = 0x200000  # the bench guest is linked below, service VMs above, the kernel in the upper half
KERNEL_START = 1 << 63
ROOT_MODE = b"%016x" % KERNEL_START

# The operation's function in tests/guest/bench: its name in the table, and that of its figure.
OPERATIONS = {
    "op_cpuid": ("cpuid", "cpuid_exit"),
    "op_hypercall": ("hypercall", "hypercall_empty"),
    "op_doorbell": ("doorbell", "doorbell_port_write"),
    "op_inb_scratch": ("port_read", "port_read_outside_root"),
    "op_eoi_mmio": ("eoi", "eoi_mmio"),
    "op_eoi_msr": ("eoi_msr", "eoi_msr"),
    "op_self_ipi_mmio": ("self_ipi", "self_ipi"),
    "op_touch": ("npf", "npf"),
}
VM_CALL = {"op_vm_call": ("vm_call", "vm_call")}

# The first that matches a kernel function's name; the rest is "handle".
KERNEL_PHASES = [(phase, re.compile(pattern)) for phase, pattern in (
    ("entry", r"svm_enter|vmx_enter"),
    ("classify", r"svm_run|handle_(insn|io|npf|rare)|classify|window_set|inject|requeue|vcpu_next_event|vcpu_prepare"),
    ("decode", r"(svm|vmx)_fetch|fetch_.*|walk_.*|memo_.*|insn_length.*|lapic_move_.*|vcpu_fetch_groups"),
    ("switch", r"cpu_loop|cpu_switch_to|(svm|vmx)_(load|unload)|window_clear|sched_.*|heap_.*"),
    ("forward", r"exit_port|forward_.*|trap_page_.*|hand_over|wait_.*|queue_.*|reply_current|complete_.*"),
)]
PHASES = ("guest", "entry", "classify", "decode", "handle", "forward", "switch", "handler_vm")


class Symbols:
    """The functions of an image, by address."""

    def __init__(self, path):
        text = subprocess.run(["nm", "-n", path], check=True, capture_output=True, text=True).stdout
        found = re.findall(r"^([0-9a-f]+) [tT] (\S+)$", text, re.MULTILINE)
        self.address = [int(address, 16) for address, _ in found]
        self.name = [name for _, name in found]

    def of(self, name):
        return self.address[self.name.index(name)]

    def at(self, address):
        return self.name[bisect.bisect_right(self.address, address) - 1].split(".")[0]


class Images:
    def __init__(self, driver):
        self.kernel = Symbols(os.path.join(machine.BUILD, "hilum.elf"))
        self.driver = Symbols(os.path.join(machine.BUILD, driver))
        self.guest = Symbols(os.path.join(machine.BUILD, "guest", "bench.elf64"))

    def place(self, address):
        """(phase, function) of an address."""
        if address >= KERNEL_START:
            name = self.kernel.at(address)
            return next((phase for phase, pattern in KERNEL_PHASES if pattern.fullmatch(name)), "handle"), name
        if address >= GUEST_END:
            return "handler_vm", self.driver.at(address)
        return "guest", self.guest.at(address)


def trace(image, scratch, images):
    """Runs the machine; leaves the trace in a file. Returns the file's name and what the guest has printed."""
    port, log = os.path.join(scratch, "gdb"), os.path.join(scratch, "trace")
    command = machine.qemu_command(image, scratch, smp=1, counted=True,
                                   extra=["-S", "-gdb", f"unix:{port},server=on,wait=off", "-D", log])
    output = os.path.join(scratch, "serial")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    with open(output, "wb") as serial:
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=serial, stderr=subprocess.DEVNULL)
        try:
            steer(gdbstub.Stub(port), images)
            qemu.wait(LIMIT_S)
        finally:
            qemu.kill()
            qemu.wait()
    with open(output, encoding="utf-8", errors="replace") as file:
        return log, file.read()


def steer(stub, images):
    """From breakpoint to breakpoint until the machine has ended. One breakpoint at a time: a machine that stands on one is there
    again at once."""
    stop, on = images.kernel.of("cpu_loop"), False  # whatever else was at the guest's addresses has run before
    try:
        stub.breakpoint(stop)
        while stub.run():
            stub.breakpoint(stop, False)
            if stop >= KERNEL_START or on:
                stop, on = images.guest.of("bench_rounds"), False
            else:
                stop, on = images.guest.of("bench_report"), True
            stub.breakpoint(stop)
            stub.monitor(f"singlestep {'on' if on else 'off'}")
            stub.monitor(f"log {'exec,nochain' if on else 'none'}")
    finally:
        stub.close()


def read_rounds(log, images):
    """A Counter of addresses for each round of the trace. What did not complete is not counted, as virtual time does not: the
    instruction that a guest left by, and one that the emulator says it takes back."""
    start, end = (b"%016x" % images.guest.of(name) for name in ("bench_round_start", "bench_round_end"))
    current, last = None, b""
    with open(log, "rb") as file:
        for line in file:
            if not line.startswith(b"Trace "):
                if current is not None and line.startswith((b"Stopped execution", b"cpu_io_recompile")):
                    current[last] -= 1
                continue
            address = line.split(b"/", 2)[1]
            if address == start:
                current = collections.Counter()
            elif current is not None:
                if address >= ROOT_MODE > last:
                    current[last] -= 1
                current[address] += 1
                if address == end:
                    yield current
                    current = None
            last = address


def cheapest(rounds, images):
    """For each function that a round calls first (see OPERATIONS): its cheapest round."""
    least = {}
    for counts in rounds:
        places = collections.Counter()
        for address, times in counts.items():
            places[images.place(int(address, 16))] += times
        operation = next((name for phase, name in places if phase == "guest" and name.startswith("op_")), None)
        if operation is not None and places.total() < least.get(operation, places).total() or operation not in least:
            least[operation] = places
    return least


def measure(image, scratch, operations, driver):
    """Yields (operation, Counter by (phase, function), what the guest has printed of it) for each of the operations. What timing itself takes
    is off the guest's phase, as it is off the guest's figures."""
    images = Images(driver)
    log, text = trace(image, scratch, images)
    least = cheapest(read_rounds(log, images), images)
    timing = least["op_empty"].total()
    for function, (name, figure) in operations.items():
        printed = re.search(rf"^bench: {figure} (\d+) instructions", text, re.MULTILINE)
        if function not in least or printed is None:
            raise machine.Failure(f"no trace of {name}: {text[-800:]}")
        places = least[function]
        places[("guest", "bench_round")] -= timing
        yield name, places, int(printed.group(1))


def by_phase(places):
    """Instructions of each phase, in the order of PHASES."""
    return {phase: sum(times for (of, _), times in places.items() if of == phase) for phase in PHASES}


def table(found):
    """For a person: an operation a column and a phase a row; below, the functions that cost most."""
    columns = [{"": name, **by_phase(places), "sum": places.total()} for name, places, _ in found]
    lines = [f"{row:11}" + "".join(f"{column[row]:>11}" for column in columns) for row in columns[0]]
    for name, places, _ in found:
        dearest = [f"{function} {times}" for (phase, function), times in places.most_common(FUNCTIONS_SHOWN) if phase != "guest"]
        lines.append(f"{name}: {', '.join(dearest)}")
    return "\n".join(lines)
