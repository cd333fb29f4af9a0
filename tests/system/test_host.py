"""The machine itself: what it survives, what it says about how it ended, and what root mode's page tables reach."""
import os
import re
import struct
import subprocess
import tempfile
import time

import apiclient
import gdbstub
from harness import BOOT_S, COMMAND_S, START_S, Failed, Machine, bochs, equal, guestconfig, linux, machine, quick, true

from test_drivers import Monitor

KERNEL_BASE = 0xFFFFFFFF80000000
JUMP_TO_ITSELF = "ebfe"
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
        m.expect(r"hilum: last run: hilum: ", START_S)
        m.expect(r"hilum: watchdog: it has ended the last run", START_S)
        api = apiclient.Api(m)
        host = api.expect(200, "GET", "/host")
        equal(host["boot_reason"], "watchdog")
        equal(host["last_boot"]["reason"], "watchdog")
        equal(host["watchdog_seconds"], WATCHDOG_S)
        true("vm linux: Linux bzImage" in host["last_boot"]["log"], f"the last log is {host['last_boot']['log']!r}")
        true(not re.search(apiclient.TOKEN, host["last_boot"]["log"]), "a token is in the last log")


def test_panic_is_told_after_the_reset():
    with Debugger() as debugger, Machine(linux(), extra=debugger.extra) as m:
        m.prompt()
        debugger.write(symbols()["svm_idle"], UNDEFINED)
        m.expect(r"hilum: panic: exception 6 #UD", COMMAND_S)
        m.expect(r"hilum: the machine was reset: a panic\. The last lines", RESET_S)
        m.expect(r"hilum: last run: hilum: reset in 5 seconds", START_S)
        m.expect(r"hilum: vm linux: Linux bzImage", START_S)
