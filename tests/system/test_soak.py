"""A soak: guests boot, read and write their disks, talk to each other, pause, are reset and destroyed at random, over the API, on two cores,
while the driver VM and the control VM are ended again and again. In the end every frame, page, handle and heap is accounted for: what there
was before is what there is afterwards. `scripts/test --soak MINUTES` runs it for so long and shows its progress."""
import collections
import os
import random
import re
import sys
import time

from apiclient import Api
from gpt import state_disk
from harness import BOOT_S, COMMAND_S, Failed, Machine, guestconfig, long, true
from test_drivers import VIRTIO, disk
from test_recover import ANSWER_S, BOTH, CRASH, HANG, NEVER, PORT, answers, end
from test_restart import COMPLAINTS, WRITER, settings
from test_restart import CRASH as DRIVER_CRASH
from test_restart import HANG as DRIVER_HANG
from test_virtio import Files, guest, table

SOAK_S = int(os.environ.get("HILUM_SOAK_S", "180"))
SEED = int(os.environ.get("HILUM_SOAK_SEED", "1"))
PROGRESS_S = 15
NAMES = ("a", "b", "c", "d")
DISK_MIB = 12
# A disk that is written, synced, forgotten and compared, and the keeper's card, for as long as the guest lives.
WORK = ("mkdir -p /m; mount /dev/vda /m; ip addr add 10.9.0.{}/24 dev eth0; while :; do dd if=/dev/urandom of=/tmp/a bs=64k count=4 2>/dev/null; "
        "cat /tmp/a >/m/a; sync; echo 3 >/proc/sys/vm/drop_caches; cmp /tmp/a /m/a && echo beat || echo WRO''NG; "
        "ping -c 1 -W 1 10.9.0.1 >/dev/null && echo po''ng; sleep 1; done")
# Frames of the control VM's books that fill page by page (events, audit log), and pages of small objects, which stay cut.
SLACK = {"frames of VMs": 512 << 10, "pool in use": 256 << 10, "control VM's heap": 512 << 10, "driver VM's heap": 512 << 10}


def definition(name, rng):
    return {"kernel": "vmlinuz", "initrd": "initrd", "memory": rng.choice(("96M", "112M")), "vcpus": rng.randint(1, 2), "vcpus_max": 3,
            "cmdline": f'console=ttyS0 quiet hilum.run="{WORK.format(NAMES.index(name) + 2)}"', "disk": [{"module": f"disk-{name}"}],
            "nic": [{"bridge": "soak"}], "on_crash": "destroy"}


class Soak:
    def __init__(self, m, seed):
        self.m, self.rng, self.api = m, random.Random(seed), Api(m)
        self.done = collections.Counter()
        self.began = time.monotonic()
        self.api.answer_s = ANSWER_S

    # ---- What is done ----

    def ask(self, what, allowed, *request):
        status, _, body = self.api.ask(*request)
        if status not in allowed:
            raise Failed(f"{request[:2]}: {status} {body[:200]!r}")
        self.done[what if status == allowed[0] else f"{what}, refused"] += 1
        return status

    def act(self):
        name, rng = self.rng.choice(NAMES), self.rng
        what = rng.choices(("boot", "pause", "resume", "reset", "nmi", "reboot", "power-button", "shutdown", "destroy", "vcpus", "define", "look"),
                           (12, 4, 5, 2, 1, 1, 1, 1, 4, 2, 2, 2))[0]
        path = f"/vms/{name}"
        if what == "destroy":
            self.ask(what, (202, 409), "POST", f"{path}/shutdown", {"force": True})
        elif what in ("shutdown", "reboot"):
            self.ask(what, (202, 409), "POST", f"{path}/{what}", {"timeout_seconds": rng.choice((1, 20))})
        elif what == "vcpus":
            self.ask(what, (200, 409), "PUT", f"{path}/vcpus", {"count": rng.randint(1, 3)})
        elif what == "define":
            self.ask(what, (200,), "PUT", path, definition(name, rng))
        elif what == "look":
            self.ask(what, (200,), "GET", path)
        else:
            self.ask(what, (202, 409), "POST", f"{path}/{what}")

    def type(self, value):
        """The keeper ends a service VM. What is typed while there is no driver VM may be lost."""
        self.m.send(f"debug-exit {PORT:#x} {value}\n")

    def end_driver(self, how):
        if how is None:
            self.ask("driver VM restarted", (202,), "POST", "/driver/restart")
        else:
            self.type(how)
            self.done[f"driver VM {'crashes' if how == DRIVER_CRASH else 'hangs'}"] += 1
        self.m.expect("hilum: driver VM: [^\r\n]*; restarted in", never=NEVER, within_s=150)
        if how is None:
            self.m.send("\n")
        self.m.prompt()

    def end_control(self, how):
        """Its handles, once it answers again."""
        handles = end(self.m, how, guests=r"\d+", within_s=180)[1]
        self.done[{CRASH: "control VM crashes", HANG: "control VM hangs", BOTH: "both crash"}[how]] += 1
        answers(self.api)
        return handles

    def end_a_service(self):
        if self.rng.random() < 0.6:
            self.end_driver(self.rng.choice((None, DRIVER_CRASH, DRIVER_CRASH, DRIVER_HANG)))
        else:
            self.end_control(self.rng.choice((CRASH, CRASH, BOTH, HANG)))

    # ---- What there is ----

    def metrics(self):
        connection = self.api.connect()
        try:
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {self.api.token}"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def figures(self):
        found = dict(re.findall(r"^(hilum_(?:host_memory|service_vm_heap_free)_bytes\{[^}]*\}) (\d+)$",
                                self.metrics(), re.MULTILINE))
        memory = {kind: int(found[f'hilum_host_memory_bytes{{kind="{kind}"}}']) for kind in ("total", "free", "hilum", "pool_free")}
        heaps = {name: -int(found[f'hilum_service_vm_heap_free_bytes{{vm="{name}"}}']) for name in ("control", "driver")}
        return {"frames of VMs": memory["total"] - memory["free"] - memory["hilum"], "pool in use": memory["hilum"] - memory["pool_free"],
                "control VM's heap": heaps["control"], "driver VM's heap": heaps["driver"]}

    def define(self):
        for name in NAMES:
            self.api.expect(201, "PUT", f"/vms/{name}", definition(name, self.rng))

    def everything_goes(self):
        for name in NAMES:
            deadline = time.monotonic() + ANSWER_S
            while self.api.vm(name)["state"] not in ("shutoff", "crashed"):
                self.api.ask("POST", f"/vms/{name}/shutdown", {"force": True})
                true(time.monotonic() < deadline, f"VM {name} does not end")
                time.sleep(0.2)
            self.api.expect(204, "DELETE", f"/vms/{name}")

    def account(self):
        """With nothing but the keeper there, and both service VMs fresh: handles, and figures once they stand still."""
        self.end_driver(None)
        found = {"handles": self.end_control(CRASH)}
        deadline = time.monotonic() + ANSWER_S
        before = None
        while (now := self.figures()) != before and time.monotonic() < deadline:
            before = now
            time.sleep(2)
        return {**found, **now}

    # ---- The run ----

    def progress(self, seconds):
        states = {name: self.api.vm(name)["state"] for name in NAMES}
        print(f"soak: {time.monotonic() - self.began:.0f} s of {seconds}: {sum(self.done.values())} things done, "
              f"{sum(n for what, n in self.done.items() if 'VM' in what or 'both' in what)} ends of service VMs; "
              + ", ".join(f"{name} {state}" for name, state in states.items()), flush=True)

    def run(self, seconds):
        """Nothing is done twice in the same way, but the same seed begins alike: what follows depends on who is faster."""
        self.began = told = ended = time.monotonic()
        while time.monotonic() - self.began < seconds:
            self.act()
            self.m.read(self.rng.uniform(0, 1.2))  # the serial line must not stop for want of a reader
            if time.monotonic() - ended > self.rng.uniform(8, 30):
                self.end_a_service()
                ended = time.monotonic()
            if time.monotonic() - told > PROGRESS_S:
                self.progress(seconds)
                told = time.monotonic()

    def guests_work(self, names):
        """They boot, and work on their disks and their cards."""
        for name in names:
            self.api.ask("POST", f"/vms/{name}/shutdown", {"force": True})
            self.api.state(name, "shutoff", COMMAND_S)
            self.api.act(name, "boot")
            with self.api.console(name, tail=0) as console:
                console.expect("beat", 2 * BOOT_S)
                console.expect("pong", 2 * BOOT_S)
            self.m.read(0)
            print(f"soak: VM {name} works on its disk and its card", flush=True)


def soak(seconds, seed):
    with Files() as files:
        modules = {f"disk-{name}": files.ext4(f"disk-{name}", DISK_MIB) for name in (*NAMES, "keeper")}
        state = files.make("state")
        with open(state, "wb") as file:
            file.write(state_disk())
        devices = table("disk", module="disk-keeper") + table("nic", bridge="soak")
        keeper = guest("keeper", vcpus=1, memory="96M", devices=devices, debug_crash=PORT)
        text = settings(guestconfig.config_text(keeper, on_last_guest_exit="stay"), driver_restarts=100000)
        with Machine(text, modules, api=True, memory="2G", extra=disk(state, VIRTIO[0], **VIRTIO[2])) as m:
            s = Soak(m, seed)
            m.prompt()
            m.shell("ip addr add 10.9.0.1/24 dev eth0")
            m.send(WRITER.format("/dev/vda").replace("echo x", "sleep 1; echo x") + "\n")
            m.prompt()
            s.define()
            s.guests_work(NAMES[:2])
            s.everything_goes()
            before = s.account()
            print("soak: before it, " + ", ".join(f"{what} {abs(figure)}" for what, figure in before.items()), flush=True)
            s.define()
            s.done.clear()
            s.run(seconds)
            done = s.done.copy()
            s.guests_work(NAMES[-2:])
            s.everything_goes()
            after = s.account()
            complaints = m.shell(COMPLAINTS, within_s=2 * COMMAND_S)
            true(complaints == "" and "WRONG" not in m.text, f"the keeper's complaints: {complaints}")
    report(seconds, seed, done, before, after)


def report(seconds, seed, done, before, after):
    print(f"soak: {seconds} s, seed {seed}")
    for what in sorted(done):
        print(f"  {what:<24} {done[what]:>6}")
    print(f"  {'':<24} {'before':>14} {'after':>14} {'more':>10}")
    for what, was in before.items():
        print(f"  {what:<24} {abs(was):>14} {abs(after[what]):>14} {after[what] - was:>10}")
    sys.stdout.flush()
    for what, was in before.items():
        true(after[what] - was <= SLACK.get(what, 0), f"{what}: {after[what] - was} more than before")


@long
def test_soak():
    soak(SOAK_S, SEED)
