"""The VMs' life as operators command it, over HTTPS: commands, consoles, images, and the driver VM's end beneath them."""
import random
import re
import time

from apiclient import Api
from harness import BOOT_S, COMMAND_S, PROMPT, Machine, each, equal, guestconfig, long, long_cases, patience, true
from test_virtio import Files, guest, table

NAME = "linux"


def machine(*tables, modules=None, **hardware):
    text = guestconfig.config_text(*(tables or (guest(),)), on_last_guest_exit="stay")
    return Machine(text, modules, api=True, **hardware)


def say(console, command, answer, within_s=COMMAND_S):
    """Types at the guest's prompt; the answer must not be in the command's text."""
    console.send(command.encode() + b"\n")
    found = console.expect(answer, within_s)
    console.expect(PROMPT, within_s)
    return found


def clock(console):
    return float(say(console, "cat /proc/uptime", r"\n(\d+\.\d+) ").group(1))


def test_pause_nmi_reset_and_the_power_button():
    with machine() as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            equal(api.vm(NAME)["state"], "running")
            before, began = clock(console), time.monotonic()
            api.act(NAME, "pause")
            api.act(NAME, "pause", status=409)
            equal(api.vm(NAME)["state"], "paused")
            console.send(b"echo $((6 * 7))\n")
            time.sleep(6)
            true(b"42" not in console.text, "a VM that is paused does not answer")
            api.act(NAME, "resume")
            console.expect("42", COMMAND_S)
            console.expect(PROMPT, COMMAND_S)
            after, ended = clock(console), time.monotonic()
            true(after - before < ended - began - 5, f"its clock stood still: {after - before:.1f} s of {ended - began:.1f}")
            api.act(NAME, "nmi")
            console.expect("NMI received for unknown reason", COMMAND_S)
            api.act(NAME, "reset")
            console.expect("BusyBox", BOOT_S)
            console.expect(PROMPT, COMMAND_S)
            api.act(NAME, "shutdown", timeout_seconds=600)
            console.expect("the power button was pressed", COMMAND_S)
        api.state(NAME, "shutoff", COMMAND_S)
        found = api.vm(NAME)
        equal((found["last_exit"], found["starts"]), ("poweroff", 2), "how it ended, and its starts")
        kinds = [event["kind"] for event in api.events() if event["name"] == NAME]
        wanted = ["vm.started", "vm.paused", "vm.resumed", "vm.nmi", "vm.stopped", "vm.started", "vm.button", "vm.stopped"]
        equal([kind for kind in kinds if kind in wanted], wanted, "events")


def test_reboot_and_a_guest_that_is_deaf_to_its_button():
    with machine() as m:
        api = Api(m)
        with api.console(NAME) as console:
            console.expect(PROMPT, BOOT_S)
            api.act(NAME, "reboot", timeout_seconds=600)
            console.expect("the power button was pressed", COMMAND_S)
            console.expect(PROMPT, BOOT_S)
            say(console, "killall acpid; echo $((40 + 2))", "42")
            api.act(NAME, "shutdown", timeout_seconds=3)
            api.state(NAME, "shutoff", COMMAND_S)
            true("did not react" in api.vm(NAME)["last_exit"], "the plug was pulled")
            api.act(NAME, "boot")
            console.expect(PROMPT, BOOT_S)
            api.act(NAME, "shutdown", force=True)
            api.state(NAME, "shutoff", COMMAND_S)
            equal(api.vm(NAME)["last_exit"], "destroyed")


def test_upload_define_boot_change_and_undefine():
    with machine(memory="2G") as m:
        api = Api(m)
        for name, file in guestconfig.DEFAULT_GUEST.items():
            with open(file, "rb") as data:
                api.expect(201, "PUT", f"/images/mine-{name}", data.read())
        definition = {"kernel": "mine-vmlinuz", "initrd": "mine-initrd", "cmdline": "console=ttyS0 quiet", "memory": "128M", "vcpus": 1}
        api.expect(201, "PUT", "/vms/mine", definition)
        api.act("mine", "boot")
        with api.console("mine") as console:
            console.expect(PROMPT, BOOT_S)
            api.expect(409, "DELETE", "/images/mine-vmlinuz")
            api.expect(409, "DELETE", "/vms/mine")
            api.expect(200, "PUT", "/vms/mine", {**definition, "memory": "192M"})
            true(api.vm("mine")["change_pending"], "the change waits for the next start")
            megabytes = int(say(console, "free -m", r"Mem: +(\d+)").group(1))
            true(megabytes < 128, f"it has {megabytes} MB still")
            api.act("mine", "reset")
            console.expect(PROMPT, BOOT_S)
            megabytes = int(say(console, "free -m", r"Mem: +(\d+)").group(1))
            true(megabytes > 128, f"it has {megabytes} MB now")
        api.act("mine", "shutdown", force=True)
        api.expect(204, "DELETE", "/vms/mine")
        for name in guestconfig.DEFAULT_GUEST:
            api.expect(204, "DELETE", f"/images/mine-{name}")
        api.expect(404, "GET", "/vms/mine")


def disk_reads(api):
    return api.vm(NAME)["stats"]["disks"][0]["read_bytes"]


def test_console_and_figures_outlive_the_driver_vm():
    with Files() as files:
        with machine(guest(vcpus=2, devices=table("disk", module="disk")), modules={"disk": files.ext4("disk", 48)}) as m:
            api = Api(m)
            with api.console(NAME) as console:
                console.expect(PROMPT, BOOT_S)
                say(console, "dd if=/dev/vda of=/dev/null bs=1M count=8 2>&1", r"\n8\+0 records out")
                deadline = patience.now() + COMMAND_S  # they are told about once a second
                while disk_reads(api) < 8 << 20:
                    true(patience.now() < deadline, f"the disk's count says {disk_reads(api)} bytes")
                    time.sleep(0.5)
                for i in range(3):
                    api.expect(202, "POST", "/driver/restart")
                    say(console, f"echo round $(({i} * 7 + 1000))", f"round {i * 7 + 1000}")
                api.act(NAME, "pause")
                api.expect(202, "POST", "/driver/restart")
                time.sleep(2)
                equal(api.vm(NAME)["state"], "paused")
                api.act(NAME, "resume")
                say(console, "echo $((6 * 7))", "42")
            true(disk_reads(api) >= 8 << 20, f"the disk's count says {disk_reads(api)} bytes after the restarts")
            scrollback = api.expect(200, "GET", f"/vms/{NAME}/console").decode("utf-8", "replace")
            for i in range(3):
                true(f"round {i * 7 + 1000}" in scrollback, f"round {i} is in the scrollback")
            true(re.search("BusyBox.*round 1000.*round 1014", scrollback, re.DOTALL), "the scrollback is in order")
            equal(api.expect(200, "GET", "/host")["driver_vm"]["state"], "running")


def test_driver_vm_ends_while_a_vm_is_made():
    with machine() as m:
        api = Api(m)
        api.state(NAME, "running", COMMAND_S)
        for _ in range(4):
            api.act(NAME, "shutdown", force=True)
            api.act(NAME, "boot")
            api.expect(202, "POST", "/driver/restart")
        with api.console(NAME, tail=0) as console:
            console.expect(PROMPT, BOOT_S)
            say(console, "echo $((6 * 7))", "42")


ACTIONS = ("boot", "shutdown", "power-button", "reboot", "pause", "resume", "nmi", "reset")
POLICIES = ("destroy", "preserve", "coredump-destroy", "coredump-restart")
DEFINITION = {"kernel": "vmlinuz", "initrd": "initrd", "cmdline": "console=ttyS0 quiet", "memory": "96M", "vcpus_max": 3, "watchdog": "wdat",
              "disk": [{"module": "disk"}, {"module": "disk", "readonly": True}], "nic": [{"bridge": "a", "tenant": "b"}]}


def free_bytes(api):
    return api.expect(200, "GET", "/host")["memory"]["free_bytes"]


def everything_goes(api, names):
    for name in names:
        api.ask("POST", f"/vms/{name}/shutdown", {"force": True})
        api.expect(204, "DELETE", f"/vms/{name}")


def act_at_random(api, rng, names):
    """One command, right or wrong: the answer is one that the API's description has."""
    name = rng.choice(names)
    what = rng.random()
    if what < 0.1:
        status = api.ask("PUT", f"/vms/{name}", {**DEFINITION, "memory": rng.choice(("96M", "128M")), "on_poweroff": rng.choice(POLICIES)})[0]
        true(status in (200, 201), f"PUT of a definition: {status}")
    elif what < 0.2:
        status = api.ask("POST", "/driver/restart")[0]
        equal(status, 202, "restart of the driver VM")
    elif what < 0.3:
        status = api.ask("PUT", f"/vms/{name}/vcpus", {"count": rng.randint(1, 3)})[0]
        true(status in (200, 409), f"vCPUs: {status}")
    elif what < 0.33:
        equal(api.ask("PUT", f"/vms/{name}/autostart", {"enabled": rng.random() < 0.5})[0], 200, "autostart")
    else:
        action = rng.choice(ACTIONS)
        body = rng.choice((None, {"timeout_seconds": 1}, {"force": True})) if action in ("shutdown", "reboot") else None
        status = api.ask("POST", f"/vms/{name}/{action}", body)[0]
        true(status in (202, 409), f"{action}: {status}")


def commands_in_any_order(times):
    names = ["a", "b", "c"]
    rng = random.Random(times)
    text = "[hilum]\ndriver_restarts = 100000\n"
    with Files() as files:
        with Machine(text, {"disk": files.ext4("disk", 8)}, api=True, memory="2G") as m:
            api = Api(m)
            for name in names:
                api.expect(201, "PUT", f"/vms/{name}", DEFINITION)
            everything_goes(api, names)
            before = free_bytes(api)
            for name in names:
                api.expect(201, "PUT", f"/vms/{name}", DEFINITION)
            for _ in range(times):
                act_at_random(api, rng, names)
                m.read(0)  # the serial line must not stop for want of a reader
                if rng.random() < 0.3:
                    time.sleep(rng.uniform(0, 1))
            api.ask("POST", "/vms/a/shutdown", {"force": True})
            api.ask("POST", "/vms/a/resume")
            api.ask("POST", "/vms/a/boot")
            with api.console("a") as console:
                console.expect(PROMPT, BOOT_S)
                say(console, "echo $((6 * 7))", "42")
            everything_goes(api, names)
            lost = before - free_bytes(api)
            true(lost < 1 << 20, f"{lost} bytes of memory are gone")


@long
def test_commands_in_any_order():
    commands_in_any_order(60)


@long
def test_a_thousand_commands_in_any_order():
    commands_in_any_order(1000)


@each(dropped=(True,), stalled=(False,))
@long_cases("stalled")
def test_upload_that_never_ends(dropped):
    with machine() as m:
        api = Api(m)
        api.state(NAME, "running", COMMAND_S)
        before = free_bytes(api)
        connection = api.connect()
        connection.putrequest("PUT", "/api/v1/images/half")
        connection.putheader("Authorization", f"Bearer {api.token}")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(32 << 20))
        connection.endheaders()
        connection.send(bytes(9 << 20))
        deadline = patience.now() + COMMAND_S
        while before - free_bytes(api) < 8 << 20:
            true(patience.now() < deadline, "what has come takes memory")
            time.sleep(0.2)
        true(before - free_bytes(api) < 16 << 20, "what has not come takes none")
        if dropped:
            connection.close()
        deadline = patience.now() + 300
        while before - free_bytes(api) >= 1 << 20:
            true(patience.now() < deadline, "an upload that does not go on is given up")
            time.sleep(1)
        equal([image["name"] for image in api.expect(200, "GET", "/images")["images"] if image["source"] == "upload"], [], "images")
        connection.close()
