"""What guests get of the cores, counted in emulated time: shares by weight, caps, what a harmful neighbour costs, and locks whose
holder waits for a core. The guest is tests/guest/sched. QEMU counts instructions, one is a nanosecond; Bochs always counts them."""
import os
import re
import threading
from collections import namedtuple

import bochs
import guestconfig
import machine

LIMIT_S = 400  # of one run, on a machine that does other things too
STATUS = 0x10000  # what a guest adds to its number, so that no failure looks like one
WINDOW = re.compile(r"window (\d+): (\d+) of 10000")
LOCK = re.compile(r"lock: (\d+) ticks, (\d+) cpus")
HARMS = ("spin", "ipi", "timer", "port")  # tests/guest/sched/harm.c: the kind in window K is K % 4


def _start_qemu(image, scratch, smp):
    return machine.start_qemu(machine.qemu_command(image, scratch, smp=smp, counted=True))


def _start_bochs(image, scratch, smp):
    return bochs.start(image, scratch, smp=smp, clock=bochs.FIXED_CLOCK)


# window: TSC ticks of the guests' windows; first: the first one that counts, when all guests run for sure
Platform = namedtuple("Platform", "name start window first")
SVM = Platform("svm", _start_qemu, 100_000_000, 5)
VMX = Platform("vmx", _start_bochs, 100_000_000, 10)


def guest(platform, name, mode="work", windows=4, words="", **keys):
    first = platform.first
    return guestconfig.vm_table(name, "sched", memory="32M", debug_exit=0xF4, **keys,
                                cmdline=f"mode={mode} window={platform.window} from={first} to={first + windows - 1} {words}".strip())


def run(platform, scratch, *tables, smp=1):
    """(the serial line's text, how each VM ended) of a machine that runs until its guests have ended."""
    config = os.path.join(scratch, "hilum.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(guestconfig.config_text(*tables))
    image = machine.make_image(os.path.join(scratch, "sched.iso"), config, {"sched": os.path.join(machine.BUILD, "guest", "sched.elf")})
    running = platform.start(image, scratch, smp)
    watchdog = threading.Timer(LIMIT_S, running.process.kill)
    watchdog.start()
    try:
        output = b"".join(iter(running.read, b""))
    finally:
        watchdog.cancel()
        running.stop()
    verdict = machine.Verdict()
    verdict.feed(output)
    text = output.decode(errors="replace")
    if verdict.panicked or len(verdict.ends) != len(tables):
        raise machine.Failure(f"the guests did not end: {text[-1500:]}")
    return text, {name: int(end[1] or "-1", 0) for name, end in verdict.ends.items()}


def told(ends, name):
    """The number that a guest has told by its end."""
    if ends[name] < STATUS:
        raise machine.Failure(f"guest {name} ended with status {ends[name]}")
    return ends[name] - STATUS


def share(ends, name):
    """The part of a core that a guest has told."""
    return told(ends, name) / 10000


def weights(platform, scratch, windows=4):
    """Shares of guests of weights 1:2:4 on one core, as parts of what the three have together; and that."""
    names = {"one": 128, "two": 256, "four": 512}
    _, ends = run(platform, scratch, *(guest(platform, name, windows=windows, weight=weight) for name, weight in names.items()))
    shares = [share(ends, name) for name in names]
    return [part / sum(shares) for part in shares], sum(shares)


def cap(platform, scratch, percent=25, windows=10):
    """The part of a core that a guest gets with that cap while nobody else wants any."""
    _, ends = run(platform, scratch, guest(platform, "capped", windows=windows, cap=percent))
    return share(ends, "capped")


def harm(platform, scratch, windows=2 * len(HARMS)):
    """The part of a core that a guest gets beside one of the same weight that does it harm, by the kind of harm. Two vCPUs of half the
    weight do that."""
    text, ends = run(platform, scratch, guest(platform, "victim", windows=windows, weight=256),
                     guest(platform, "harmful", "harm", windows=windows, vcpus=2, weight=128))
    share(ends, "victim")
    parts = {kind: [] for kind in HARMS}
    for number, part in WINDOW.findall(text):
        parts[HARMS[int(number) % len(HARMS)]].append(int(part) / 10000)
    return {kind: sum(found) / len(found) for kind, found in parts.items()}


def steps(platform, scratch, windows=2):
    """How often a core was taken away for a moment from the guest that has it alone, and from one of two that share the other core."""
    guests = {"alone": {"mode": "quiet", "cpus": "1", "dedicated": True}, "shared": {"mode": "quiet", "cpus": "0"}, "busy": {"cpus": "0"}}
    _, ends = run(platform, scratch, *(guest(platform, name, windows=windows, **keys) for name, keys in guests.items()), smp=2)
    return told(ends, "alone"), told(ends, "shared")


def lock(platform, scratch, pause, rounds=30, smp=1):
    """Ticks that four vCPUs need to enter a lock so often each, with PAUSE while they wait or without."""
    text, ends = run(platform, scratch, guest(platform, "lock", "lock", vcpus=4, words=f"rounds={rounds} pause={int(pause)}"), smp=smp)
    found = LOCK.search(text)
    if ends["lock"] != 0 or found is None or found.group(2) != "4":
        raise machine.Failure(f"the lock was not measured: {text[-800:]}")
    return int(found.group(1))
