"""The machine itself: what it survives, what it says about how it ended, and what root mode's page tables reach."""
import os
import re
import struct
import subprocess
import tempfile

import apiclient
import gdbstub
from harness import COMMAND_S, START_S, Failed, Machine, equal, guestconfig, linux, machine, true

from test_drivers import Monitor

KERNEL_BASE = 0xFFFFFFFF80000000
JUMP_TO_ITSELF = "ebfe"
CALL_ITSELF = "e8fbffffff"
UNDEFINED = "0f0b"
WATCHDOG_S = 15
RESET_S = 240  # the watchdog's time, and a boot


def symbols():
    """Name -> physical address in the kernel's image."""
    done = subprocess.run(["nm", os.path.join(machine.BUILD, "hilum.elf")], check=True, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[2]: int(row[0], 16) - KERNEL_BASE for row in rows if len(row) == 3}


class Debugger:
    """QEMU's debugger port, to change a running machine's memory."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hilum-")
        self.path = os.path.join(self.directory.name, "gdb")
        self.extra = ["-gdb", f"unix:{self.path},server=on,wait=off", "-action", "reboot=reset"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.directory.cleanup()

    def write(self, physical, data):
        stub = gdbstub.Stub(self.path)
        stub.command("Qqemu.PhyMemMode:1")
        stub.command(f"M{physical:x},{len(data) // 2:x}:{data}")
        stub.command("D")
        stub.close()


def watched(text):
    return text.replace("[hilum]\n", f"[hilum]\nwatchdog = {WATCHDOG_S}\n")


def test_hung_host_is_reset():
    """The cores hang in root mode: the watchdog resets the machine, and the next boot says so, with the last lines of the log."""
    with Debugger() as debugger, Machine(watched(linux()), api=True, extra=["-device", "i6300esb", *debugger.extra]) as m:
        m.expect(rf"watchdog: the machine is reset when it hangs for {WATCHDOG_S} s", START_S, never="was reset")
        m.prompt()
        debugger.write(symbols()["svm_idle"], JUMP_TO_ITSELF)
        m.expect("Hilum for x86-64", RESET_S)
        m.expect(r"hilum: the machine was reset: nobody said that it would end", START_S)
        m.expect(r"hilum: last run: [a-z]", START_S)
        m.expect(r"hilum: watchdog: it has ended the last run", START_S)
        api = apiclient.Api(m)
        host = api.expect(200, "GET", "/host")
        equal(host["boot_reason"], "watchdog")
        equal(host["last_boot"]["reason"], "watchdog")
        equal(host["watchdog_seconds"], WATCHDOG_S)
        true("vm linux: Linux bzImage" in host["last_boot"]["log"], f"the last log is {host['last_boot']['log']!r}")
        true(not re.search(apiclient.TOKEN, host["last_boot"]["log"]), "a token is in the last log")


def test_operator_reboots_it_and_switches_it_off():
    elf = {"neighbour": os.path.join(machine.BUILD, "guest", "neighbour.elf")}
    table = guestconfig.vm_table("deaf", "neighbour", memory="4M", cmdline="seconds=1000")  # it has no ear for a power button
    text = guestconfig.config_text(table, on_last_guest_exit="stay")
    with Machine(text, elf, linux=False, api=True, extra=["-action", "reboot=reset"]) as m:
        api = apiclient.Api(m)
        api.state("deaf", "running", COMMAND_S)
        api.expect(202, "POST", "/host/reboot", {"timeout_seconds": 1})
        m.expect(r"vm deaf ended: destroyed \(it did not react[\s\S]*an operator asked for it: rebooting", COMMAND_S)
        m.expect("hilum: the machine was reset: a reset that was asked for", START_S)
        api = apiclient.Api(m)
        equal(api.expect(200, "GET", "/host")["boot_reason"], "requested")
        api.state("deaf", "running", COMMAND_S)  # it starts with the machine
        api.expect(202, "POST", "/host/poweroff", {"force": True})
        m.finish()  # or fails


def test_panic_is_told_after_the_reset():
    with Debugger() as debugger, Machine(linux(), hilum_cmdline="panic=2", extra=debugger.extra) as m:
        m.expect(r"hilum: vm linux: Linux bzImage", START_S)
        debugger.write(symbols()["svm_idle"], UNDEFINED)
        m.expect(r"(?s)hilum: panic: exception 6, error.*reset in 2 seconds", COMMAND_S)
        m.verdict.panicked = False
        m.expect(r"hilum: the machine was reset: a panic\. The last lines", RESET_S)
        m.expect(r"hilum: last run: panic: exception 6, error", START_S)
        m.expect(r"hilum: vm linux: Linux bzImage", START_S)


def test_stack_that_overflows_ends_the_run():
    """The idle loop calls itself without end: the page below the stack stops it, and the next start says that the run had no orderly end."""
    with Debugger() as debugger, Machine(linux(), extra=debugger.extra) as m:
        m.expect(r"hilum: vm linux: Linux bzImage", START_S)
        debugger.write(symbols()["svm_idle"], CALL_ITSELF)
        m.expect("Hilum for x86-64", RESET_S, never="hilum: vm linux ended")
        m.expect(r"hilum: the machine was reset: nobody said that it would end", START_S)


def instruction_that_stores_the_guard(function):
    """(physical address, bytes) of that instruction in a function with a guarded frame."""
    done = subprocess.run(["objdump", "-d", f"--disassemble={function}", os.path.join(machine.BUILD, "hilum.elf")], check=True, capture_output=True,
                          text=True)
    found = re.search(r"<__stack_chk_guard>\n\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s+mov ", done.stdout)
    true(found, f"{function} has no guard")
    return int(found.group(1), 16) - KERNEL_BASE, len(found.group(2).split())


def test_changed_stack_guard_is_told():
    """A frame that does not hold the guard when its function ends."""
    with Debugger() as debugger, Machine(linux(), hilum_cmdline="panic=halt", extra=debugger.extra) as m:
        m.expect(r"hilum: vm linux: Linux bzImage", START_S)
        at, count = instruction_that_stores_the_guard("handle_resolve")
        debugger.write(at, "90" * count)
        m.expect(r"hilum: panic: a function has written beyond its variables on the stack", COMMAND_S)


# ---- What comes from outside ----


def test_nmis_and_machine_checks_are_counted():
    """Both come while the cores idle or run a guest; nothing stops. QEMU asks for no address space of ours: a corrected error is all that
    its machine checks can be in a guest, whose own it would take the others for."""
    with Monitor() as monitor, Machine(linux(), api=True, monitor=monitor.path) as m:
        api = apiclient.Api(m)
        m.prompt()
        before = api.expect(200, "GET", "/host")["faults"]
        equal((before["nmis"], before["machine_checks_corrected"]), (0, 0), "faults at the start")
        monitor.command("nmi")
        for bank in (1, 2):
            monitor.command(f"mce 0 {bank} 0x8c00000000000000 0 0x1000 0")  # valid, with an address
        m.expect(r"hilum: machine: \d+ NMIs, 2 machine checks corrected", COMMAND_S)
        after = api.expect(200, "GET", "/host")["faults"]
        true(after["nmis"] >= 1, f"no NMI is counted: {after}")
        equal((after["machine_checks_corrected"], after["machine_checks_contained"]), (2, 0), "machine checks")
        m.send("\n")
        m.prompt()


# ---- Root mode's page tables ----

PAGE = 4096
PRESENT, WRITABLE, LARGE, NO_EXECUTE = 1, 2, 0x80, 1 << 63
ADDRESS = 0x000FFFFFFFFFF000
FRAME_TABLE, WINDOWS, MMIO, STACKS = 0xFFFFA00000000000, 0xFFFFB00000000000, 0xFFFFC00000000000, 0xFFFFD00000000000
WINDOWS_A_CORE = 16
WINDOW_CORE_BYTES = 144  # struct window_core: what its slots show, its entries' address, a bit for each in use
RAM_MIB = 512


class Memory:
    """A machine's RAM as QEMU has written it to a file, and what lies in it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.symbols = symbols()
        with open(os.path.join(machine.ROOT, "mm", "frame.h"), encoding="utf-8") as file:
            self.types = re.findall(r"^\t(FRAME_\w+)", file.read().split("enum frame_type {")[1].split("}")[0], re.M)
        self.pages = dict(self.leaves(self.word(self.symbols["ap_start_cr3"]) & ADDRESS, 4, 0))

    def word(self, at):
        return struct.unpack_from("<Q", self.data, at)[0]

    def leaves(self, table, level, base):
        """(virtual address, (physical address, bytes, entry)) of all that the tables map."""
        for i in range(512):
            entry = self.word(table + 8 * i)
            va = base | i << (12 + 9 * (level - 1))
            if level == 4 and i >= 256:
                va |= 0xFFFF << 48
            if not entry & PRESENT:
                continue
            if level == 1 or (level < 4 and entry & LARGE):
                yield va, (entry & ADDRESS & ~((1 << (12 + 9 * (level - 1))) - 1), PAGE << (9 * (level - 1)), entry)
            else:
                yield from self.leaves(entry & ADDRESS, level - 1, va)

    def frame(self, number):
        """(type, order) of one entry of the frame table, which is mapped in blocks of 2 MiB."""
        va = FRAME_TABLE + 16 * number
        at = self.pages[va & ~0x1FFFFF][0] + (va & 0x1FFFFF)
        return self.types[self.data[at + 14]], self.data[at + 15]

    def owner(self, address):
        """The type of the frame's block: that of its head."""
        number = address // PAGE
        for order in range(19):
            kind, size = self.frame(number & ~((1 << order) - 1))
            if kind not in ("FRAME_TAIL", "FRAME_ABSENT") and size >= order:
                return kind
            if kind == "FRAME_ABSENT" and order == 0:
                return kind
        return "FRAME_TAIL"

    def windows(self):
        """Virtual address -> frame of the windows that cores say they use."""
        found = {}
        for core in range(64):
            at = self.symbols["window_cores"] + core * WINDOW_CORE_BYTES
            used = self.word(at + 136) & 0xFFFFFFFF
            for slot in range(WINDOWS_A_CORE):
                if used >> slot & 1:
                    found[WINDOWS + (core * WINDOWS_A_CORE + slot) * PAGE] = self.word(at + 8 * slot)
        return found


def dump(monitor, directory):
    path = os.path.join(directory, "memory")
    monitor.command("stop")
    monitor.command(f'pmemsave 0 {RAM_MIB << 20} "{path}"')
    monitor.command("cont")
    return Memory(path)


def test_root_mode_cannot_change_what_boot_has_set():
    """On each core that idles in root mode: descriptor tables, and all else that is sealed, lie in pages that are read-only, and the
    control registers enforce it."""
    wanted = {"CR0": 1 << 16, "CR4": 1 << 20 | 1 << 21 | 1 << 11, "EFER": 1 << 11}  # WP; SMEP, SMAP, UMIP; NXE
    with tempfile.TemporaryDirectory(prefix="hilum-") as directory, Monitor() as monitor, \
            Machine(guestconfig.config_text(on_last_guest_exit="stay"), linux=False, monitor=monitor.path, memory=f"{RAM_MIB}M") as m:
        m.expect("hilum: no VM was started", START_S)
        m.settle()
        names = symbols()
        sealed = range(names["kernel_sealed_start"] + KERNEL_BASE, names["kernel_data_start"] + KERNEL_BASE)
        for core in range(2):
            monitor.command(f"cpu {core}")
            text = monitor.command("info registers")
            registers = {name: int(value, 16) for name, value in re.findall(r"\b(CR0|CR4|EFER|RIP)=\s*([0-9a-f]+)", text)}
            true(registers["RIP"] >= KERNEL_BASE, f"core {core} is not in root mode: {text}")
            for name, bits in wanted.items():
                equal(registers[name] & bits, bits, f"{name} of core {core}")
            for name, base in re.findall(r"\b(GDT|IDT)=\s*([0-9a-f]+)", text):
                true(int(base, 16) in sealed, f"{name} of core {core} at {base} is not sealed")
        pages = dump(monitor, directory).pages
        for va in range(sealed.start, sealed.stop, PAGE):
            true(not pages[va][2] & WRITABLE and pages[va][2] & NO_EXECUTE, f"{va:x} is writable or executable")
        true(len(sealed) >= 4 * PAGE, "hardly anything is sealed")


def test_host_tables_reach_no_guest():
    """While two guests run: each frame that root mode's tables map is the kernel's own, but for windows in use; none is writable and
    executable."""
    text = guestconfig.config_text(guestconfig.linux_table(vcpus=2, memory="96M"), guestconfig.linux_table(name="other", vcpus=1, memory="96M"))
    own = {"FRAME_KERNEL", "FRAME_POOL", "FRAME_POOL_FREE"}
    with tempfile.TemporaryDirectory(prefix="hilum-") as directory, Monitor() as monitor, \
            Machine(text, monitor=monitor.path, memory=f"{RAM_MIB}M") as m:
        m.prompt()
        m.send("while :; do :; done &\n")  # exits and windows come and go
        for _ in range(3):
            memory = dump(monitor, directory)
            windows, seen, guests = memory.windows(), {}, 0
            for va, (pa, size, entry) in memory.pages.items():
                true(entry & NO_EXECUTE or not entry & WRITABLE, f"{va:x} is writable and executable")
                if MMIO <= va < STACKS:
                    continue  # registers of devices, which are no RAM
                for at in range(0, size, PAGE):
                    kind = memory.owner(pa + at)
                    if WINDOWS <= va < MMIO:
                        seen[va] = pa
                    elif kind not in own:
                        raise Failed(f"{va + at:x} maps {pa + at:x}, which is {kind}")
            for number in range(0, RAM_MIB << 8, 64):
                guests += memory.owner(number * PAGE) == "FRAME_GUEST"
            true(guests * 64 * PAGE > 160 << 20, "the guests' memory is not in the frame table: the test sees nothing")
            true(set(seen) <= set(windows), f"windows that nobody uses: {set(seen) - set(windows)}")
            true(all(windows[va] == pa for va, pa in seen.items()), "a window shows another frame than its core says")
