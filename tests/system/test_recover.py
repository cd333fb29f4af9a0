"""The control VM ends, and a fresh one takes over: guests and driver VM go on, and nothing that was asked for is forgotten."""
import copy
import random
import tempfile
import threading
import time

from apiclient import Api
from gpt import state_disk
from harness import BOOT_S, COMMAND_S, PROMPT, Failed, Machine, bochs, equal, guestconfig, long, patience, quick, true
from test_cli import Operator as Workstation
from test_drivers import VIRTIO, disk
from test_restart import COMPLAINTS, PORT, WRITER, settings
from test_virtio import Files, guest, table

CRASH, HANG, STRIKE, BOTH, WAIT = 4, 5, 6, 7, 8  # what to write to the port of debug_crash
NEVER = "WRONG|BEGUN AFRESH|Kernel panic|not all of it is there|no definition of it|device state|needs a reset"
ANSWER_S = 60  # from the end to the API's next answer, on a machine that does other things too


def end(m, how, guests=1, never=NEVER, within_s=120):
    """Has the control VM end, from the prompt; returns how long its successor took, ms, how many handles it kept, and gave back."""
    m.send(f"debug-exit {PORT:#x} {how}\n")
    found = m.expect(rf"hilum: control VM: triple fault; restarted in (\d+) ms; {guests} guests? carr(?:y|ies) on; (\d+) handles kept, "
                     r"(\d+) that were nobody's given back", never=never, within_s=within_s)
    if how == BOTH:  # what is typed while there is no driver VM may be lost
        m.expect("hilum: driver VM: triple fault; restarted in", never=never, within_s=120)
    m.prompt()
    return tuple(int(number) for number in found.groups())


@quick
def test_console_goes_on():
    with Machine(guestconfig.config_text(guest(debug_crash=PORT))) as m:
        m.prompt()
        handles = set()
        for how in (CRASH, STRIKE):
            _, kept, _ = end(m, how)
            handles.add(kept)
            equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")
        equal(len(handles), 1, f"numbers of handles {handles}")
        m.send("poweroff\n")
        equal(m.finish(60), 0, "status")


@long
def test_control_vm_that_waits_for_ever_ends():
    """Two minutes of the same wait are enough; meanwhile nothing but the control VM stands still."""
    with Machine(guestconfig.config_text(guest(debug_crash=PORT))) as m:
        m.prompt()
        end(m, WAIT, within_s=400)
        equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


def test_console_goes_on_under_vmx():
    if bochs.is_debian(bochs.program()):  # 2.7 stops at a guest's triple fault
        return
    with Machine(guestconfig.config_text(guest(debug_crash=PORT)), emulator="bochs", cpu="tigerlake") as m:
        m.prompt(within_s=300)
        for how in (STRIKE, BOTH):
            end(m, how)
            equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


def patiently(api, path):
    """The answer, and the seconds until there is one again."""
    began, deadline = time.monotonic(), patience.now() + ANSWER_S
    while True:
        try:
            return api.expect(200, "GET", path), time.monotonic() - began
        except (Failed, OSError) as failure:
            true(patience.now() < deadline, f"no answer: {failure}")
            time.sleep(0.2)


def answers(api):
    """Seconds until the API answers again."""
    return patiently(api, "/host")[1]


def what_there_is(api):
    """What an operator sees that has nothing to do with time."""
    names = [vm["name"] for vm in api.expect(200, "GET", "/vms")["vms"]]
    vms = [tuple(vm[key] for key in ("name", "state", "starts", "crashes", "last_exit", "change_pending", "config"))
           for vm in (api.vm(name) for name in names)]
    images = sorted((image["name"], image["bytes"]) for image in api.expect(200, "GET", "/images")["images"])
    tokens = sorted(token["name"] for token in api.expect(200, "GET", "/tokens")["tokens"])
    return vms, images, tokens


@long
def test_command_line_connects_again():
    tables = guest(debug_crash=PORT)
    with Machine(guestconfig.config_text(tables), api=True) as m, tempfile.TemporaryDirectory() as home:
        hilum = Workstation(m, home)
        m.prompt()
        console, events = hilum.spawn("console", "linux"), hilum.spawn("events", "--follow")
        events.expect("vm.started")
        console.expect(PROMPT)
        end(m, CRASH)
        events.expect("connected again")
        events.expect("control.restarted")
        console.send("\n")
        console.expect("connected again")
        console.send("echo $((6 * 7))\n")
        console.expect("42")
        for process in (console, events):
            process.close(force=True)


def test_nothing_is_forgotten():
    tables = (guest(debug_crash=PORT), guest("other", vcpus=1, memory="128M", cmdline="quiet"), guest("gone", memory="128M", vcpus=1))
    with Machine(guestconfig.config_text(*tables, on_last_guest_exit="stay"), api=True, memory="2G") as m:
        api = Api(m)
        m.prompt()
        with open(guestconfig.DEFAULT_GUEST["initrd"], "rb") as data:
            api.expect(201, "PUT", "/images/mine", data.read())
        definition = {"kernel": "vmlinuz", "initrd": "mine", "memory": "128M", "vcpus": 1, "cmdline": "console=ttyS0 quiet"}
        api.expect(201, "PUT", "/vms/mine", definition)
        api.act("mine", "boot")
        api.expect(201, "PUT", "/vms/idle", {"kernel": "vmlinuz", "cmdline": "of no use"})
        with api.console("mine") as console:
            console.expect(PROMPT, BOOT_S)
            console.send(b"echo mark $((6 * 7)); dd if=/dev/zero of=/tmp/a bs=1M count=8; md5sum /tmp/a\n")
            console.expect("96995b58d4cbf6aaa9041b4f00c7f6ae", COMMAND_S)
        api.expect(200, "PUT", "/vms/mine", {**definition, "memory": "192M"})
        api.act("other", "pause")
        api.act("gone", "shutdown", force=True)
        api.state("gone", "shutoff", COMMAND_S)
        api.expect(204, "DELETE", "/vms/gone")
        token = api.expect(201, "POST", "/tokens", {"name": "reader", "role": "viewer"})["token"]
        before, version = what_there_is(api), api.ask("GET", "/vms/mine")[1]["ETag"]
        events, audit = api.events(), api.expect(200, "GET", "/audit")["entries"]
        true(audit, "there is an audit log")
        for how in (BOTH, HANG):
            end(m, how, guests=3)
            print(f"the API answers after {answers(api):.1f} s")
            equal(what_there_is(api), before, "what there is")
        equal(api.ask("GET", "/vms/mine")[1]["ETag"], version, "the definition's version")
        equal(api.events()[:len(events)], events, "the events from before")
        equal(api.expect(200, "GET", "/audit")["entries"][:len(audit)], audit, "the audit log from before")
        equal(api.expect(200, "GET", "/host")["control_vm"], {"restarts": 2}, "the host's answer")
        mine, api.token = api.token, token
        equal(api.ask("PUT", "/vms/idle", {"kernel": "vmlinuz"})[0], 403, "what the other token may do")
        api.token = mine
        with api.console("mine") as console:
            console.expect("mark 42", COMMAND_S)  # from the scrollback
            console.send(b"md5sum /tmp/a; free -m\n")
            console.expect("96995b58d4cbf6aaa9041b4f00c7f6ae", COMMAND_S)
            true(int(console.expect(r"Mem: +(\d+)", COMMAND_S).group(1)) < 128, "it has the memory that it was started with")
            api.act("mine", "reset")
            true(int(console.expect(r"1 vCPUs, (\d+) MiB", BOOT_S).group(1)) > 128, "it has the memory of its new definition")
        api.act("other", "resume")
        equal(api.vm("other")["state"], "running", "the one that was paused")


class Operator(threading.Thread):
    """Asks for one thing after the other, over ends of the control VM: what has no answer may have been done or not."""

    def __init__(self, api, once):
        super().__init__(daemon=True)
        self.api, self.once, self.over, self.wrong = copy.copy(api), once, False, None
        self.api.answer_s = 10  # of a request that a control VM has died of nobody says anything any more

    def ask(self, allowed, *request):
        """Until there is an answer; True: it is the first of the allowed ones."""
        while not self.over and self.wrong is None:
            try:
                status, _, body = self.api.ask(*request)
            except (Failed, OSError):
                time.sleep(0.1)
                continue
            if status not in allowed:
                self.wrong = f"{request[:2]}: {status} {body[:200]!r}"
            return status == allowed[0]
        return False

    def run(self):
        number = 0
        while not self.over and self.wrong is None:
            number += 1
            self.once(self, number)

    def end(self):
        self.over = True
        self.join(COMMAND_S)
        equal(self.wrong, None, "what the API said")


def defining(acknowledged):
    """Defines VMs; `acknowledged` has, by name, the number of the last definition that was answered."""
    def once(operator, number):
        definition = {"kernel": "vmlinuz", "cmdline": f"number={number} " + "x" * (number * 97 % 900)}
        operator.ask((200, 201), "PUT", f"/vms/v-{number % 6}", definition)
        if not operator.over and operator.wrong is None:
            acknowledged[f"v-{number % 6}"] = number
    return once


COMES = {"kernel": "vmlinuz", "initrd": "initrd", "memory": "128M", "cmdline": "console=ttyS0 quiet"}


def come_and_go(operator, number):
    """A VM is made and destroyed again: whatever it is at when the control VM ends."""
    operator.ask((202, 409), "POST", "/vms/comes/boot")
    time.sleep(0.1 * (number % 4))
    operator.ask((202, 409), "POST", "/vms/comes/shutdown", {"force": True})


def settle(api, name):
    """Destroys it, as soon as there is anything to be destroyed or nothing."""
    deadline = patience.now() + ANSWER_S
    while api.vm(name)["state"] not in ("shutoff", "crashed"):
        api.ask("POST", f"/vms/{name}/shutdown", {"force": True})
        true(patience.now() < deadline, f"{name} is {api.vm(name)['state']}")
        time.sleep(0.2)


def definitions_are_kept(api, known):
    for name, number in known.items():
        found = patiently(api, f"/vms/{name}")[0]["config"]["cmdline"].split()[0]
        true(int(found[7:]) >= number, f"{name} has {found} instead of {number}")


def end_under_load(m, how):
    """As `end`, where VMs come and go, and others print; returns how long the successor took, ms."""
    m.send(f"debug-exit {PORT:#x} {how}\n")
    found = m.expect(r"hilum: control VM: triple fault; restarted in (\d+) ms; \d guests? carr(?:y|ies) on", never=NEVER, within_s=180)
    if how == BOTH:
        m.expect("hilum: driver VM: triple fault; restarted in", never=NEVER, within_s=120)
    return int(found.group(1))


def kill_under_load(times, ways):
    rng = random.Random(3)
    took, silent, acknowledged = [], [], {}
    hows = [ways[i % len(ways)] for i in range(times)]
    beats = "until [ -e /tmp/over ]; do cut -d. -f1 /proc/uptime | sed 's/^/be''at /'; sleep 1; done"
    with Files() as files:
        state = files.make("state")
        with open(state, "wb") as file:
            file.write(state_disk())
        tables = guest(vcpus=2, devices=table("disk", module="disk"), debug_crash=PORT)
        text = settings(guestconfig.config_text(tables, on_last_guest_exit="stay"), driver_restarts=1000)
        with Machine(text, {"disk": files.ext4("disk", 48)}, api=True, extra=disk(state, VIRTIO[0], **VIRTIO[2])) as m:
            api = Api(m)
            api.answer_s = 20  # of a request that a control VM has died of nobody says anything any more
            m.prompt()
            m.send(WRITER.format("/dev/vda") + "\n")
            m.prompt()
            api.expect(201, "PUT", "/vms/comes", COMES)
            api.act("comes", "boot")
            settle(api, "comes")
            handles = end(m, CRASH)[1]
            answers(api)
            free = api.expect(200, "GET", "/host")["memory"]["free_bytes"]
            m.shell(f"({beats}) & true")
            operators = [Operator(api, defining(acknowledged)), Operator(api, come_and_go)]
            for operator in operators:
                operator.start()
            for how in hows:
                time.sleep(rng.uniform(1, 4))
                known = dict(acknowledged)
                took.append(end_under_load(m, how))
                silent.append(answers(api))
                definitions_are_kept(api, known)
                m.expect(r"beat \d+", within_s=60)
            for operator in operators:
                operator.end()
            settle(api, "comes")
            m.shell("touch /tmp/over; sleep 3")
            equal(end(m, CRASH, guests=r"\d")[1], handles, "handles in the end")
            answers(api)
            lost = free - api.expect(200, "GET", "/host")["memory"]["free_bytes"]
            equal(m.shell(COMPLAINTS), "", "complaints")
            equal(api.expect(200, "GET", "/host")["control_vm"]["restarts"], times + 2, "restarts")
            true(any(event["kind"] == "control.restarted" for event in api.events()), "there is an event")
            print(f"{times} times: taken over within", ", ".join(str(ms) for ms in took), "ms; the API answered within",
                  ", ".join(f"{s:.1f}" for s in silent), f"s; {handles} handles before and after, {lost >> 10} KiB less are free,",
                  api.vm("comes")["starts"], "VMs came and went")
            true(lost <= 4 << 20, f"{lost} bytes are gone")


def test_killed_under_load():
    kill_under_load(3, (STRIKE, CRASH, BOTH))


@long
def test_killed_thirty_times_under_load():
    kill_under_load(30, (STRIKE, CRASH, STRIKE, BOTH, STRIKE, HANG))
