"""scripts/gdb/hilum.py: what it says of a machine that runs is what the machine is."""
import os
import re
import subprocess
import tempfile

from harness import Machine, equal, linux, machine, true

GDB_S = 300
COMMANDS = ("hilum-vms", "hilum-vcpus", "hilum-frames", "hilum-log 400")


def said_by_gdb(socket):
    words = ["gdb", "-nx", "-batch", "-iex", "set auto-load off", "-iex", "set debuginfod enabled off", os.path.join(machine.BUILD, "hilum.elf"),
             "-x", os.path.join(machine.ROOT, "scripts", "gdb", "hilum.py"), "-ex", f"hilum-connect {socket}"]
    for command in COMMANDS:
        words += ["-ex", f"echo == {command}\\n", "-ex", command]
    done = subprocess.run(words + ["-ex", "detach"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=GDB_S)
    true(not done.stderr or "rror" not in done.stderr, f"gdb's errors: {done.stderr}")
    parts = re.split(r"^== (.*)\n", done.stdout, flags=re.M)
    true(len(parts) == 2 * len(COMMANDS) + 1, f"gdb ended early: {done.stdout}{done.stderr}")
    return dict(zip(parts[1::2], parts[2::2]))


def test_commands_on_a_running_machine():
    with tempfile.TemporaryDirectory(prefix="hilum-") as directory:
        socket = os.path.join(directory, "gdb")
        with Machine(linux(), extra=["-gdb", f"unix:{socket},server=on,wait=off"]) as m:
            m.prompt()
            said = said_by_gdb(socket)
            vms = {row.split()[-1]: row.split() for row in said["hilum-vms"].splitlines()[1:]}
            true("linux" in vms and len(vms) == 3, f"three VMs: {said['hilum-vms']}")
            equal(vms["linux"][2], "yes", "the guest has started")
            rows = [row for row in said["hilum-vcpus"].splitlines() if row.startswith("linux/")]
            equal(len(rows), int(vms["linux"][1]), "as many vCPUs as hilum-vms says")
            true(all(row.split()[1] in ("ready", "halted", "trapped") for row in rows), f"the guest's vCPUs: {rows}")
            counts = {row.split()[0]: int(row.split()[1]) for row in said["hilum-frames"].splitlines() if " frames" in row}
            equal(sum(count for name, count in counts.items() if name != "all"), counts["all"], "frames of all types")
            true(counts.get("guest", 0) > 0, f"guests have frames: {counts}")
            true("Hilum for x86-64" in said["hilum-log 400"], f"the log begins with the version: {said['hilum-log 400'][:200]}")
            m.shell("echo goes-$((40+2))")  # it runs on
