"""Guests under a debugger: each kind of stop on each CPU that the emulators have, and the real GDB on Debian's kernel."""
import os
import re

from debugger import Gdb
from harness import BOOT_S, COMMAND_S, START_S, Machine, each, equal, guestconfig, machine, true
from platforms import CANNON_LAKE, PLATFORMS

STOPS_S = 5 * START_S
WATCH, HARDWARE, INT3 = "watchpoint", "hardware breakpoint", "breakpoint in 32-bit code"
SYMBOLS = ("_text", "_etext", "start_kernel", "__do_sys_newuname", "jiffies")


def stops(*wanting, **hardware):
    """The stub on a guest of a few instructions. wanting: what this emulator cannot do (docs/debugging.md)."""
    control = {"control": os.path.join(machine.BUILD, "debug_stops.bin")}
    with Machine(None, control, linux=False, without=("control", "driver"), smp=1, **hardware) as m:
        total = m.expect(r"debug_stops: (\d+) of (\d+) do not work", STOPS_S, never="panic")
        tried = dict(re.findall(r"debug_stops: ([^:\r\n]+): (works|does not work)", m.text))
        equal(len(tried), int(total.group(2)), "cases")
        equal({name for name, how in tried.items() if how != "works"}, set(wanting), "what does not work")


def test_stops():
    stops(WATCH, HARDWARE, INT3)


@each(ryzen=(PLATFORMS["ryzen"], WATCH), icelake=(PLATFORMS["icelake"],), cannonlake=(CANNON_LAKE,))
def test_stops_in_bochs(platform, *wanting):
    stops(*wanting, **platform.hardware)


def debugged(**keywords):
    """One Debian guest, whose kernel is where it was linked for, and a machine that stays when it ends."""
    return guestconfig.config_text(guestconfig.linux_table(cmdline="nokaslr", **keywords), on_last_guest_exit="stay")


def token_of(m):
    """The first token, which the machine shows once."""
    return m.expect(r"(hilum_[A-Za-z0-9_-]{43})", START_S).group(1)


def symbols(m):
    """name -> address, of the guest's kernel."""
    lines = m.shell(f"grep -E ' ({'|'.join(SYMBOLS)})$' /proc/kallsyms").splitlines()
    found = {name: int(address, 16) for address, _, name in (line.split() for line in lines)}
    equal(set(found), set(SYMBOLS), "symbols")
    return found


def returns_into_text(gdb, at):
    """The top of the stack at a function's first instruction."""
    address = gdb.value("*(unsigned long *)$rsp")
    true(at["_text"] <= address < at["_etext"], f"the return address {address:#x} is not in the kernel's text")


def break_at_start(m, token, at):
    """A VM that is shut off, from its first instruction to its kernel's first C function, whose page nothing maps before."""
    with Gdb(m, "linux", token) as gdb:
        true(gdb.value("$rip") < 1 << 32, "it does not stand at its first instruction")
        gdb.ask(f"break *{at['start_kernel']:#x}")
        gdb.ask("continue", BOOT_S)
        equal(gdb.value("$rip"), at["start_kernel"], "rip")
        returns_into_text(gdb, at)
        gdb.ask("stepi")
        true(gdb.value("$rip") != at["start_kernel"], "a step changes nothing")
        gdb.ask("delete")
        gdb.ask("detach")
    m.prompt()


def break_in_call(m, token, at):
    """A running VM: a breakpoint that its shell meets."""
    with Gdb(m, "linux", token) as gdb:
        true("vCPU 1" in gdb.ask("info threads"), "the second vCPU is not there")
        gdb.ask(f"break *{at['__do_sys_newuname']:#x}")
        m.send("uname -s\n")
        gdb.ask("continue")
        equal(gdb.value("$rip"), at["__do_sys_newuname"], "rip")
        returns_into_text(gdb, at)
        first = gdb.value(f"*(unsigned char *){at['__do_sys_newuname']:#x}")
        true(first != 0x06, "the debugger sees what it has planted")
        gdb.ask("finish")
        gdb.ask("detach")
    m.expect("Linux\r?\n", COMMAND_S)
    m.prompt()


def stands_still(m, token, at):
    """No time passes in a VM that stands; a register and a piece of memory can be changed."""
    with Gdb(m, "linux", token) as gdb:
        before = gdb.value(f"*(unsigned long *){at['jiffies']:#x}")
        m.settle(2)
        equal(gdb.value(f"*(unsigned long *){at['jiffies']:#x}"), before, "jiffies")
        rax = gdb.value("$rax")
        gdb.ask("set $rax = 0x1234567890")
        equal(gdb.value("$rax"), 0x1234567890, "rax")
        gdb.ask(f"set $rax = {rax:#x}")
        true("at most 100 bytes" in gdb.ask("monitor physical 0 fffff"), "no answer from the monitor")
    equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


def says_what_does_not_work(m, token, at):
    """Debug registers do nothing under QEMU's SVM, and GDB is told so instead of waiting for ever."""
    with Gdb(m, "linux", token) as gdb:
        gdb.ask(f"hbreak *{at['__do_sys_newuname']:#x}")
        true("Cannot insert hardware breakpoint" in gdb.ask("continue"), "no refusal of a hardware breakpoint")
    equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


def crashes(m, token):
    """A triple fault: the debugger looks at it before the VM ends."""
    with Gdb(m, "linux", token) as gdb:
        gdb.ask("set $cr3 = 0")
        true("SIGABRT" in gdb.ask("continue"), "no crash")
        equal(gdb.value("$cr3"), 0, "cr3")
        true("vm linux ended" not in m.text[m.seen:], "it has ended before the debugger has looked")
    m.expect(r"vm linux ended: crash \(triple fault\)", COMMAND_S)


def test_debian():
    with Machine(debugged(vcpus=2), api=True) as m:
        token = token_of(m)
        m.prompt()
        at = symbols(m)
        break_in_call(m, token, at)
        stands_still(m, token, at)
        says_what_does_not_work(m, token, at)
        m.send("poweroff\n")
        m.expect("vm linux ended: poweroff", COMMAND_S)
        break_at_start(m, token, at)
        equal(m.shell("dmesg | grep -c 'ftrace bug' || true"), "0", "complaints of the guest")
        crashes(m, token)
