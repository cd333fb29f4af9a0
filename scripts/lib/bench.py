"""scripts/bench: runs the measurements and prints their figures."""
import os
import re
import subprocess
import sys
import threading

import apibench
import bochs
import bootcost
import density
import exitbench
import guestconfig
import iobench
import machine
import phases
import platforms
import schedbench
import size

LIMIT_S = 240


def show(name, value, unit):
    print(name, value, unit, flush=True)


def run_guest(image, scratch):
    """The figures of tests/guest/bench, on one core."""
    try:
        done = subprocess.run(machine.qemu_command(image, scratch, smp=1, counted=True), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise machine.Failure(f"the bench guest is not done after {LIMIT_S} s") from error
    show_guest(done.stdout)


def show_guest(output, prefix=""):
    """Prints what the bench guest has measured; a failure unless it came to its end."""
    text = output.decode(errors="replace")
    verdict = machine.Verdict()
    verdict.feed(output)
    for name, value, unit in re.findall(r"^bench: (\S+) (\S+) ([^\r\n]+)", text, re.MULTILINE):
        show(prefix + name, value, unit)
    for skipped in re.findall(r"^SKIP ([^\r\n]+)", text, re.MULTILINE):
        print(f"bench: not measured: {skipped}", file=sys.stderr)
    if verdict.status() != 0:
        raise machine.Failure(f"the bench guest ended with status {verdict.status()}: {text[-800:]}")


NULL_HANDLER = os.path.join(machine.BUILD, "null-handler")
VM_CALL = "only=vm_call vm_call=1"


def exits(scratch):
    run_guest(exitbench.image(scratch), scratch)
    run_guest(exitbench.image(scratch, VM_CALL, NULL_HANDLER + ".bin"), scratch)


def exits_in_bochs(scratch):
    """The same guest on the CPUs that Bochs emulates, one of its instructions a tick."""
    image = exitbench.image(scratch)
    for platform in (*platforms.PLATFORMS.values(), platforms.CANNON_LAKE):
        running = bochs.start(image, scratch, smp=1, cpu=platform.hardware["cpu"], clock=bochs.FIXED_CLOCK)
        watchdog = threading.Timer(LIMIT_S, running.process.kill)
        watchdog.start()
        try:
            show_guest(b"".join(iter(running.read, b"")), platform.prefix)
        finally:
            watchdog.cancel()
            running.stop()
    vmcs_accesses()


def vmcs_accesses():
    """What the run loop reads and writes of a VMCS from an exit to the next entry, as its unit test counts it (no emulator does)."""
    test = subprocess.run([os.path.join(machine.BUILD, "unit", "test_vmx_run")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.findall(r"^vmcs accesses: (\w+) (\d+) reads (\d+) writes", test.stdout + test.stderr, re.MULTILINE)
    if test.returncode != 0 or not found:
        raise machine.Failure(f"no counts of VMCS accesses: {test.stderr[-800:]}")
    for name, reads, writes in found:
        show(f"vmx_{name}_vmreads", reads, "accesses")
        show(f"vmx_{name}_vmwrites", writes, "accesses")


def exit_phases(scratch):
    """Where the instructions of the most important exits go, and that they add up to the figures."""
    rounds = f"count={phases.ROUNDS}"
    found = [*phases.measure(exitbench.image(scratch, rounds), scratch, phases.OPERATIONS, "driver.elf"),
             *phases.measure(exitbench.image(scratch, f"{rounds} {VM_CALL}", NULL_HANDLER + ".bin"), scratch, phases.VM_CALL,
                             "null-handler.elf")]
    for name, places, printed in found:
        for phase, times in phases.by_phase(places).items():
            show(f"phase_{name}_{phase}", times, "instructions")
        if places.total() != printed:
            raise machine.Failure(f"the phases of {name} add up to {places.total()}, but it costs {printed}")
    print(phases.table(found), file=sys.stderr)


def linux(scratch):
    kernel, initrd = bootcost.prepare(scratch)
    bare = {name: bootcost.bare(kind, kernel, initrd) for name, kind in bootcost.BARE_MACHINES.items()}
    for name, value in bare.items():
        show(f"linux_to_init_bare_{name}", value, "instructions")
    hilum = bootcost.hilum(kernel, initrd, scratch)
    show("linux_to_init", hilum, "instructions")
    show("linux_to_init_ratio", f"{hilum / min(bare.values()):.4f}", "of the least bare")


def show_io(figures, prefix):
    for figure in figures:
        show(f"{prefix}{figure.name}", f"{figure.cost:.0f}", "instructions outside the guest")
        show(f"{prefix}{figure.name}_exits", f"{figure.exits:.2f}", "exits")
        for reason, times in figure.reasons.items():
            show(f"{prefix}{figure.name}_exits_at_{reason}", f"{times:.2f}", "exits")


def io_of_guests(scratch):
    show_io([*iobench.disk(scratch), *iobench.net(scratch)], "io_")


def memory(scratch):
    """What Hilum itself takes, as its log tells when it starts a Linux guest of 256 MiB."""
    config = os.path.join(scratch, "hilum.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(guestconfig.config_text(guestconfig.linux_table(cmdline='hilum.run="true"', memory="256M")))
    image = machine.make_image(os.path.join(scratch, "memory.iso"), config, dict(guestconfig.DEFAULT_GUEST))
    done = subprocess.run(machine.qemu_command(image, scratch, smp=1, memory="1G"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT_S)
    text = done.stdout.decode(errors="replace")
    for name, pattern, unit in (("hilum_memory", r"(\d+) KiB are Hilum's own", "KiB"),
                                ("guest_kernel_memory", r"(\d+) KiB in the kernel", "KiB"),
                                ("guest_nested_tables", r"(\d+) KiB of nested tables", "KiB")):
        found = re.search(pattern, text)
        if found is None:
            raise machine.Failure(f"no '{pattern}' in the log: {text[-800:]}")
        show(name, found.group(1), unit)


def operators(scratch):
    show("api_tls_handshake", f"{apibench.handshake(scratch):.0f}", "instructions")
    milliseconds, count = apibench.list_of_vms(scratch)
    show(f"api_list_{apibench.VMS}_vms", f"{milliseconds:.1f}", f"ms for {count} bytes, on this computer's emulator")


CROWDS = (50, 100, 200, 500)


def resident_bytes(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) << 10


def crowds(scratch):
    """What guests cost that are there by the hundred: instructions of Hilum, all of it, for each guest, and bytes."""
    with apibench.Appliance(scratch, density.MODULES, counted=True, cpu=apibench.COUNTED_CPU, memory=density.MEMORY) as appliance:
        connection, process = appliance.connect(), appliance.running.process
        alone = resident_bytes(process)
        for count in CROWDS:
            found = density.measure(lambda method, path, body: appliance.ask(connection, path, method, body), count,
                                    lambda: resident_bytes(process) - alone)
            for step in density.STEPS:
                show(f"density_{count}_{step}", f"{found[step]:.0f}", "instructions")
            for step in ("boot", "destroy"):
                show(f"density_{count}_{step}_rate", f"{1e9 / found[step]:.0f}", "a second, at 1 GHz and an instruction a tick")
            for kind in ("all", "kernel", "control_heap", "driver_heap", "emulator"):
                show(f"density_{count}_bytes_{kind}", f"{found['bytes_' + kind]:.0f}", "bytes")


def shares(scratch):
    for platform in (schedbench.SVM, schedbench.VMX):
        parts, whole = schedbench.weights(platform, scratch)
        for weight, part in zip((1, 2, 4), parts):
            show(f"sched_{platform.name}_weight_{weight}_of_7", f"{part:.4f}", "of what three guests have together")
        show(f"sched_{platform.name}_guests_together", f"{whole:.4f}", "of the core")
        show(f"sched_{platform.name}_cap_25", f"{schedbench.cap(platform, scratch):.4f}", "of the core")
        for kind, part in schedbench.harm(platform, scratch).items():
            show(f"sched_{platform.name}_beside_{kind}", f"{part:.4f}", "of the core, where half is fair")
        ticks = {pause: schedbench.lock(platform, scratch, pause) for pause in (True, False)}
        show(f"sched_{platform.name}_lock", ticks[True], "ticks")
        show(f"sched_{platform.name}_lock_unseen", ticks[False], "ticks, waiting without PAUSE")
        show(f"sched_{platform.name}_lock_ratio", f"{ticks[False] / ticks[True]:.1f}", "times sooner")
    for name, times in zip(("dedicated", "shared"), schedbench.steps(schedbench.VMX, scratch)):
        show(f"sched_vmx_{name}_core_taken_away", times, "times in a second")


def root_mode(_):
    allowed = size.budget()
    for name, value in size.measure().items():
        show(f"root_mode_{name}", value, name.rpartition("_")[2])
        show(f"root_mode_{name}_budget", allowed[name], name.rpartition("_")[2])


def main():
    measurements = {"exits": exits, "bochs": exits_in_bochs, "phases": exit_phases, "linux": linux, "memory": memory,
                    "io": io_of_guests, "api": operators, "density": crowds, "sched": shares, "size": root_mode}
    failed = False
    for name in sys.argv[1:] or measurements:
        with machine.Scratch() as scratch:
            try:
                measurements[name](scratch)
            except (machine.Failure, OSError, subprocess.CalledProcessError) as error:
                print(f"bench: {name}: {error}", file=sys.stderr)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
