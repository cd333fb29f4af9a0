"""How VMs end and what is left of them, over HTTPS: core files, watchdogs; and vCPUs that come and go, and VMs that start by themselves."""
import os
import re
import subprocess
import time

from apiclient import Api
from harness import BOOT_S, COMMAND_S, PROMPT, Machine, equal, guestconfig, long, machine, patience, true
from test_life import NAME, say
from test_virtio import Files, guest

GUEST_S = 240


def start(*tables, modules=None, **hardware):
    text = guestconfig.config_text(*tables, on_last_guest_exit="stay")
    return Machine(text, modules, api=True, **hardware)


# ---- Core files ----------------------------------------------------------------------------------------------------------------------

def gdb(core, *commands, symbols=None):
    words = ["gdb", "-nx", "-batch", "-iex", "set auto-load off"]
    for command in commands:
        words += ["-ex", command]
    words += [symbols] if symbols else []
    done = subprocess.run([*words, *(["-c"] if symbols is None else []), core], capture_output=True, text=True, timeout=GUEST_S, check=False,
                          stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def fetch(api, name, path):
    with open(path, "wb") as file:
        file.write(api.expect(200, "GET", f"/vms/{name}/core"))
    return path


def test_core_of_a_crash_opens_in_gdb():
    elf = os.path.join(machine.BUILD, "guest", "hostile.elf")
    table = guestconfig.vm_table("h", "hostile", memory="2M", cmdline="seed=5 count=1 end=triple", on_crash="coredump-destroy", vcpus=2)
    with Files() as files, start(table, modules={"hostile": elf}, linux=False) as m:
        api = Api(m)
        api.state("h", "crashed", GUEST_S)
        true(api.vm("h")["core_kept"], "the core file is kept")
        free = api.expect(200, "GET", "/host")["memory"]["free_bytes"]
        core = fetch(api, "h", files.make("core"))
        true(os.path.getsize(core) > 2 << 20, f"{os.path.getsize(core)} bytes")
        said = gdb(core, "info threads", "info symbol $rip", "x/2i $rip", "info registers rip cs", symbols=elf + "64")
        equal(len(re.findall(r"LWP \d+", said.split("* 1", 1)[-1])), 2, f"threads in {said}")
        true("triple_fault () at" in said, f"where it crashed: {said}")
        with open(elf, "rb") as file:
            text = file.read()
        with open(core, "rb") as file:
            true(text[0x1000:0x1400] in file.read(), "its code is in its memory")
        true(not api.vm("h")["core_kept"], "it is gone when it was fetched")
        api.expect(409, "GET", "/vms/h/core")
        now = api.expect(200, "GET", "/host")["memory"]["free_bytes"]
        true(now - free >= 2 << 20, f"{now - free} bytes came back with it")


@long
def test_core_of_a_paused_guest_has_its_kernel_by_virtual_addresses():
    with Files() as files, start(guest(memory="96M", vcpus=2, cmdline="nokaslr")) as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            banner = say(console, "grep -w linux_banner /proc/kallsyms; echo $((6 * 7))", r"\n([0-9a-f]{16}) [A-Za-z] linux_banner\s").group(1)
            api.expect(409, "GET", f"/vms/{NAME}/core")
            api.act(NAME, "pause")
            core = fetch(api, NAME, files.make("core"))
            said = gdb(core, "info threads", f"x/s 0x{banner.decode()}")
            true("Linux version 6." in said, f"linux_banner: {said}")
            equal(len(set(re.findall(r"LWP (\d+)", said))), 2, f"threads in {said}")
            api.act(NAME, "resume")
            say(console, "echo $((6 * 7))", "42")


# ---- Watchdogs -----------------------------------------------------------------------------------------------------------------------

@long
def test_guest_that_does_not_touch_its_watchdog_is_reset():
    with start(guest(memory="96M", watchdog="wdat")) as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            say(console, "watchdog -T 10 -t 1 /dev/watchdog; cat /sys/class/watchdog/watchdog0/identity; echo $((6 * 7))", "wdat_wdt(?s:.*)42")
            api.act(NAME, "pause")
            api.expect(202, "POST", "/driver/restart")
            time.sleep(12)  # longer than its time: one that stands still cannot touch it
            api.act(NAME, "resume")
            say(console, "echo $((40 + 2))", "42")
            equal(api.vm(NAME)["starts"], 1, "it is touched, and nothing follows")
            console.send(b"killall -9 watchdog\n")
            console.expect("BusyBox", BOOT_S)
        found = api.vm(NAME)
        equal((found["starts"], found["last_exit"]), (2, "watchdog"), "starts, and how it last ended")
        equal([event["message"] for event in api.events() if event["kind"] == "vm.watchdog"], ["reset"], "events")


# ---- vCPUs ---------------------------------------------------------------------------------------------------------------------------

def vcpus(api, count):
    deadline = patience.now() + COMMAND_S
    while (found := api.vm(NAME)["vcpus"]) != count:
        true(patience.now() < deadline, f"it has {found} vCPUs")
        time.sleep(0.5)


def test_vcpus_come_and_go():
    with start(guest(memory="96M", vcpus=1, vcpus_max=4), smp=2) as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            say(console, "nproc; echo $((6 * 7))", r"\n1\r\n42")
            online = "for c in /sys/devices/system/cpu/cpu[1-9]*/online; do echo 1 >$c; done"
            for _ in range(2):
                api.expect(200, "PUT", f"/vms/{NAME}/vcpus", {"count": 3})
                say(console, f"sleep 1; {online}; nproc; echo $((6 * 7))", r"\n3\r\n42")
                say(console, "taskset 4 grep -c processor /proc/cpuinfo; echo $((6 * 7))", r"\n3\r\n42")
                vcpus(api, 3)
                api.expect(202, "POST", "/driver/restart")
                api.expect(200, "PUT", f"/vms/{NAME}/vcpus", {"count": 1})
                vcpus(api, 1)
                say(console, "nproc; echo $((6 * 7))", r"\n1\r\n42")
            api.expect(422, "PUT", f"/vms/{NAME}/vcpus", {"count": 5})
            api.act(NAME, "reset")
            console.expect("BusyBox", BOOT_S)
            say(console, "nproc; echo $((6 * 7))", r"\n1\r\n42")


def test_memory_changes_while_it_runs():
    with start(guest(memory="192M", balloon="0K", prefault=False)) as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            # Linux counts the balloon as used: it takes it back when it runs out of memory.
            meminfo, pattern = "grep MemFree /proc/meminfo", r"MemFree: +(\d+) kB"
            whole = int(say(console, meminfo, pattern).group(1)) >> 10
            for wanted, change in ((128, -64), (160, -32), (192, 0)):
                api.expect(200, "PUT", f"/vms/{NAME}/memory", {"bytes": wanted << 20})
                deadline = patience.now() + COMMAND_S
                while api.vm(NAME)["stats"]["memory"]["balloon_bytes"] != -change << 20:
                    true(patience.now() < deadline, f"the balloon has {api.vm(NAME)['stats']['memory']['balloon_bytes']} bytes")
                    time.sleep(0.5)
                found = int(say(console, meminfo, pattern).group(1)) >> 10
                true(abs(found - whole - change) <= 12, f"{found} MiB of {whole} are free with {wanted} MiB")
            api.expect(422, "PUT", f"/vms/{NAME}/memory", {"bytes": 193 << 20})


# ---- Autostart -----------------------------------------------------------------------------------------------------------------------

def test_vms_of_the_api_start_with_the_machine():
    with Files() as files:
        image = machine.state_image(os.path.join(files.name, "state.img"))
        disk = ("-drive", f"file={image},if=none,id=state,format=raw",
                "-device", f"virtio-blk-pci,drive=state,serial={machine.STATE_SERIAL},{machine.BEHIND_IOMMU}")
        elf = {"neighbour": os.path.join(machine.BUILD, "guest", "neighbour.elf")}
        table = guestconfig.vm_table("b", "neighbour", memory="4M", cmdline="seconds=1000")
        definition = {"kernel": "neighbour", "cmdline": "seconds=1000", "memory": "4M"}
        with start(table, modules=elf, linux=False, extra=disk) as m:
            api = Api(m)
            api.state("b", "running", COMMAND_S)
            for name in ("d", "c", "a"):
                api.expect(201, "PUT", f"/vms/{name}", definition)
            for name in ("c", "a"):
                true(api.expect(200, "PUT", f"/vms/{name}/autostart", {"enabled": True})["autostart"], "it is started with the machine")
            token = api.token
        with start(table, modules=elf, linux=False, extra=disk) as m:
            m.expect(r"vm b: Multiboot[\s\S]*vm a: Multiboot[\s\S]*vm c: Multiboot", BOOT_S)  # the file's first, then by name
            m.expect("certificate sha256", BOOT_S)
            api.m, api.token = m, token
            equal([(vm["name"], vm["state"]) for vm in api.expect(200, "GET", "/vms")["vms"]],
                  [("b", "running"), ("a", "running"), ("c", "running"), ("d", "shutoff")])
