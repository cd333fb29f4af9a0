"""Many small guests on one machine: what an operator does with them, counted by Hilum itself, and what each takes.

A guest is tests/guest/heartbeat: 2 MiB, one vCPU, a beat a second. Work is the time in which the control VM did not wait, what it has others
do for it included; in a machine whose instructions are nanoseconds that is a count of instructions, of root mode, control VM and driver VM."""
import json
import os
import re

import machine

GUEST = os.path.join(machine.BUILD, "guest", "heartbeat.elf")
MODULES = {"heartbeat": GUEST}
DEFINITION = json.dumps({"kernel": "heartbeat", "memory": "2M"})
GUEST_BYTES = 2 << 20
FIGURES_S = 3  # of the machine: after so long there are new ones
MEMORY = "3G"  # of the machine: more than 500 guests take
STEPS = ("define", "boot", "list", "metrics", "destroy", "undefine")


class Crowd:
    """Guests vm-0 to vm-(count - 1). ask(method, path, body): the answer's bytes, of a request on a connection that stays open; what is
    not a success raises."""

    def __init__(self, ask, count):
        self.ask, self.count = ask, count

    def each(self, method, path="", body=None):
        for number in range(self.count):
            self.ask(method, f"/api/v1/vms/vm-{number}{path}", body)

    def define(self):
        self.each("PUT", body=DEFINITION)

    def boot(self):
        self.each("POST", "/boot")

    def list(self):
        found = json.loads(self.ask("GET", "/api/v1/vms", None))["vms"]
        if len(found) != self.count:
            raise machine.Failure(f"{len(found)} VMs are listed, not {self.count}")

    def metrics(self):
        return self.ask("GET", "/metrics", None).decode()

    def destroy(self):
        self.each("POST", "/shutdown", '{"force": true}')

    def undefine(self):
        self.each("DELETE")

    def figure(self, name, text=None):
        found = re.search(rf"^{re.escape(name)} (\S+)$", text or self.metrics(), re.M)
        if found is None:
            raise machine.Failure(f"/metrics has no {name}")
        return float(found.group(1))

    def beats(self):
        """Interrupts of each guest so far: one a beat."""
        return {name: float(count) for name, count in re.findall(r'^hilum_vm_interrupts_total\{vm="([^"]+)",vcpu="0"\} (\S+)$', self.metrics(), re.M)}

    def uptime(self):
        return json.loads(self.ask("GET", "/api/v1/host", None))["uptime_seconds"]

    def taken(self):
        """Bytes that are not free: all that the machine has given away, the kernel's tables and objects among it, heap of the control VM,
        heap of the driver VM. The driver VM tells its own once a second: what it told before now is not looked at."""
        now = self.uptime()
        while self.uptime() < now + FIGURES_S:
            pass
        text = self.metrics()
        memory = {kind: self.figure(f'hilum_host_memory_bytes{{kind="{kind}"}}', text) for kind in ("total", "free", "hilum", "pool_free")}
        heap = [-self.figure(f'hilum_service_vm_heap_free_bytes{{vm="{vm}"}}', text) for vm in ("control", "driver")]
        return [memory["total"] - memory["free"] - memory["pool_free"], memory["hilum"] - memory["pool_free"], *heap]

    def work(self, step):
        """Nanoseconds of work for each guest. A scrape of /metrics is in it, as many times as for no guest at all."""
        busy = "hilum_control_vm_busy_seconds_total"
        before = self.figure(busy)
        step()
        return (self.figure(busy) - before) * 1e9 / self.count


def measure(ask, count, emulator_bytes=lambda: 0):
    """name -> figure for `count` guests that come and go: work of each step, bytes of each guest by kind. emulator_bytes: what the machine
    takes more than without guests."""
    crowd = Crowd(ask, count)
    before = crowd.taken()
    found = {"define": crowd.work(crowd.define)}
    found["boot"] = crowd.work(crowd.boot)
    for step in ("list", "metrics"):
        found[step] = crowd.work(getattr(crowd, step))
    after = crowd.taken()
    for name, old, new in zip(("all", "kernel", "control_heap", "driver_heap"), before, after):
        found[f"bytes_{name}"] = (new - old) / count - (GUEST_BYTES if name == "all" else 0)
    found["bytes_emulator"] = emulator_bytes() / count
    for step in ("destroy", "undefine"):
        found[step] = crowd.work(getattr(crowd, step))
    return found
