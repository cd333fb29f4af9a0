"""Counts what an I/O operation of a guest costs outside the guest: a run of operations, traced an instruction at a time.

The machine runs at full speed to the guest program's bench_io_begin (scripts/bench-guest/io.c), and singly (QEMU's -singlestep and
-d exec,nochain, switched on by its monitor) from there to bench_io_end. Each line of the trace has the emulated CPU's state, which
tells whether an SVM guest is running; a service VM of Hilum's is told from a guest by its addresses. Time plays no part: what the
machine idles is no instruction."""
import collections
import os
import re
import subprocess
import threading

import gdbstub
import machine

PROGRAM_BASE = 0x5A000000  # nobody else in the guest, in Hilum or in a Linux host is there
PROGRAM = os.path.join(machine.BUILD, "guest", "io")
IN_GUEST = 1 << 21  # HF_GUEST_MASK of QEMU's target/i386/cpu.h, in the trace's third number
LIMIT_S = 3600  # an idle machine takes a minute or two
COMPILE = ["gcc", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
           "-nostdlib", "-static", "-no-pie", "-fno-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack",
           f"-Wl,-Ttext-segment={PROGRAM_BASE:#x}"]


def build_program():
    """The guest's program; and where it is when it begins and when it ends."""
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    subprocess.run([*COMPILE, "-o", PROGRAM, os.path.join(machine.ROOT, "scripts", "bench-guest", "io.c")], check=True)
    symbols = subprocess.run(["nm", PROGRAM], check=True, capture_output=True, text=True).stdout
    return tuple(int(re.search(rf"^(\w+) T {name}$", symbols, re.MULTILINE).group(1), 16) for name in ("bench_io_begin", "bench_io_end"))


class Counts:
    """What was executed between begin and end. outside: instructions by address; service: of these, in service VMs. left: how often a
    guest was left, by the address of its last instruction."""

    def __init__(self):
        self.guest = 0
        self.outside = collections.Counter()
        self.service = collections.Counter()
        self.left = collections.Counter()

    def total(self):
        return self.outside.total() + self.service.total()

    def exits(self):
        return self.left.total()


class Reader(threading.Thread):
    """Reads the trace from a pipe as it is written: a Counts for each run of operations."""

    def __init__(self, path, begin, end, service):
        super().__init__(daemon=True)
        self.path, self.begin, self.end, self.service = path, begin, end, service
        self.found = []
        # Held open for writing too: the trace goes on and off, and its end must not be the pipe's.
        self.pipe = os.open(path, os.O_RDWR)

    def finish(self):
        """After the machine's end: what has been read."""
        os.write(self.pipe, b"End of trace\n")
        self.join()
        os.close(self.pipe)
        return self.found

    def run(self):
        with open(self.pipe, "rb", buffering=1 << 20, closefd=False) as trace:
            self.read(trace)

    def read(self, trace):
        # A loop over millions of lines: what it needs is local.
        first, last = self.service
        counts, inside, previous, previous_of = None, False, 0, None
        for line in trace:
            if not line.startswith(b"Trace "):
                if line.startswith(b"End of trace"):
                    return
                # An instruction that the emulator takes back and tries again.
                if counts is not None and previous_of is not None and line.startswith((b"Stopped execution", b"cpu_io_recompile")):
                    previous_of[previous] -= 1
                continue
            parts = line.split(b"/", 3)
            address, flags = int(parts[1], 16), int(parts[2], 16)
            if flags & IN_GUEST and not first <= address < last:
                if address == self.begin and counts is None:
                    counts = Counts()
                if counts is not None:
                    counts.guest += 1
                    if address == self.end:
                        self.found.append(counts)
                        counts = None
                inside, previous, previous_of = True, address, None
            elif counts is not None:
                if inside:
                    counts.left[previous] += 1
                    inside = False
                previous, previous_of = address, counts.service if flags & IN_GUEST else counts.outside
                previous_of[address] += 1


def steer(stub, marks, runs):
    """From mark to mark. One breakpoint at a time: a machine that stands on one is there again at once."""
    for number in range(2 * runs):
        on = number % 2 == 0
        stop = marks[0] if on else marks[1] + 1  # behind the end's first byte, a nop: so that the end is in the trace
        stub.breakpoint(stop)
        if not stub.run():
            raise machine.Failure(f"the guest ended before its measurement {number // 2 + 1}")
        stub.breakpoint(stop, False)
        stub.monitor(f"singlestep {'on' if on else 'off'}")
        stub.monitor(f"log {'exec,nochain' if on else 'none'}")


def measure(command, scratch, runs, service=(0, 0)):
    """Runs the machine until its guest has made that many runs of operations. Returns a Counts for each. service: the addresses of
    service VMs, first and one past the last."""
    marks = build_program()
    port, pipe, output = (os.path.join(scratch, name) for name in ("gdb", "trace", "serial"))
    for stale in (port, pipe):
        if os.path.exists(stale):
            os.unlink(stale)
    os.mkfifo(pipe)
    reader = Reader(pipe, *marks, service)
    reader.start()
    try:
        with gdbstub.machine_at(command, port, output, LIMIT_S, "-D", pipe) as stub:
            steer(stub, marks, runs)
    finally:
        found = reader.finish()
    if len(found) != runs:
        raise machine.Failure(f"{len(found)} of {runs} runs are in the trace")
    return found
