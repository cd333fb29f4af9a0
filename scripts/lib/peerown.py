"""Hilum's own side of `scripts/bench --peers`, on the machine of the peers."""
import json
import os
import subprocess
import threading

import apibench
import bootcost
import density
import exitbench
import gdbstub
import iobench
import machine
import peerclock
import peerhost

NAME = "Hilum"
CONTROL = os.path.join(machine.BUILD, "control.elf")
API_CPU = peerhost.CPU.replace(",-rdrand", ",+rdrand")  # HTTPS wants random numbers
VMS = 3
VM_MIB = 64
DEFINITION = json.dumps({"kernel": "bench", "memory": f"{VM_MIB}M", "cmdline": "hold=1"})


def exits(scratch):
    """name -> instructions of the bench guest's operations."""
    command = machine.qemu_command(exitbench.image(scratch), scratch, smp=1, memory=peerhost.MEMORY, counted=True, cpu=peerhost.CPU)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=peerhost.LIMIT_S)
    return peerhost.bench_figures(done.stdout.decode(errors="replace"))


def linux(scratch):
    return bootcost.hilum(*bootcost.prepare(scratch), scratch, cpu=peerhost.CPU, machine_memory=peerhost.MEMORY)


class Asked:
    """Requests on one connection that stays open, to a machine that has the definitions vm-0 to vm-(VMS - 1)."""

    def __init__(self, appliance):
        self.appliance, self.connection = appliance, appliance.connect()
        for number in range(VMS):
            self("PUT", f"/api/v1/vms/vm-{number}", DEFINITION)

    def __call__(self, method, path, body=None):
        return self.appliance.ask(self.connection, path, method, body)

    def boot(self, number):
        self("POST", f"/api/v1/vms/vm-{number}/boot")


def memory(scratch):
    """Bytes that a VM takes besides its RAM, on average of some: of the kernel's and of the service VMs' heaps."""
    with apibench.Appliance(scratch, {"bench": exitbench.GUEST}, counted=True, cpu=API_CPU, memory=peerhost.MEMORY) as appliance:
        asked = Asked(appliance)
        crowd = density.Crowd(asked, VMS)
        before = crowd.taken()
        for number in range(VMS):
            asked.boot(number)
        whole, _, *heaps = (new - old for old, new in zip(before, crowd.taken()))
    return (int(whole + sum(heaps)) - (VMS * VM_MIB << 20)) // VMS


def create(scratch):
    """Nanoseconds of the machine from the first frame of the request, at the control VM's TCP/IP, to the guest image's first instruction."""
    port = os.path.join(scratch, "gdb")
    with apibench.Appliance(scratch, {"bench": exitbench.GUEST}, counted=True, cpu=API_CPU, memory=peerhost.MEMORY,
                            more=["-gdb", f"unix:{port},server=on,wait=off"]) as appliance:
        asked = Asked(appliance)
        stub = gdbstub.Stub(port, peerclock.LIMIT_S)
        request = threading.Thread(target=lambda: ignore(asked.boot, 0), daemon=True)
        watchdog = threading.Timer(peerclock.LIMIT_S, appliance.running.process.kill)
        watchdog.start()
        try:
            return peerclock.between(stub, peerclock.address_of(CONTROL, "ethernet_input"),
                                     peerclock.address_of(peerclock.BENCH, "pvh_entry"), request.start)
        finally:
            watchdog.cancel()
            stub.close()
            appliance.running.process.kill()


def ignore(call, *arguments):
    """The answer never comes: the machine stands still at the guest's first instruction."""
    try:
        call(*arguments)
    except (OSError, machine.Failure):
        pass


def disk(scratch):
    return iobench.disk(scratch)


def net(scratch):
    return iobench.net(scratch)
