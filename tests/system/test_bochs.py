"""The same tests in a second, independent emulator: Bochs, on each of the platforms of platforms.py.

Bochs counts time in instructions, so that a machine that is slow or busy changes no result; and all cores take turns in one
thread, so that a test with several costs their sum."""
import os

import pexpect

from harness import COMMAND_S, PROMPT, ROOT, START_S, Machine, bochs, each, equal, linux, long_cases, machine, quick, true
from platforms import CANNON_LAKE, PLATFORMS, cases
from test_guests import SUITE, hostile_beside_neighbour, passes

# Of the kernel's: an AMD CPU of old microcode, and Bochs's CPUID, which knows no size of the compacted XSAVE area without XSAVES.
KNOWN_COMPLAINTS = "Speculative|xstate.c|RETBleed"
LINUX_S = 240  # Bochs needs 10 s on an idle host, Debian's four times as long
HOSTILE = {"seed_1": (1, "triple", "crash"), "seed_2": (2, "triple", "crash"), "seed_4": (4, "exit", "debug-exit", "crash")}


@each(**cases(SUITE))
def test_guest(platform, name, vcpus, cores):
    passes(name, vcpus, cores, cmdline=platform.cmdline(), **platform.hardware)


@each(**{name: SUITE[name] for name in ("exceptions", "lapic", "cpuid_msr", "smp_tsc_4_vcpus_on_2_cores")})
def test_guest_without_virtual_apic(name, vcpus, cores):
    passes(name, vcpus, cores, cmdline=CANNON_LAKE.cmdline(), **CANNON_LAKE.hardware)


@quick
@each(**cases({"": ()}))
def test_guest_quick(platform):
    passes("exceptions", 1, 2, cmdline=platform.cmdline(), **platform.hardware)


@each(**cases(HOSTILE))
@long_cases("ryzen/seed_2", "icelake/seed_2")
def test_hostile_guest(platform, seed, end, *outcomes):
    if bochs.is_debian(bochs.program()):  # 2.7 stops at a guest's triple fault
        end, outcomes = "exit", ("debug-exit", "crash")
    hostile_beside_neighbour(seed, end, *outcomes, words=platform.cmdline(), **platform.hardware)


@each(**cases({"1-vcpu_1-core": (1, 1), "2-vcpus_2-cores": (2, 2), "4-vcpus_2-cores": (4, 2)}),
      **{"cannonlake/2-vcpus_2-cores": (CANNON_LAKE, 2, 2)})
@long_cases("icelake/1-vcpu_1-core", "icelake/2-vcpus_2-cores", "ryzen/1-vcpu_1-core", "ryzen/4-vcpus_2-cores", "cannonlake/2-vcpus_2-cores")
def test_boots_to_a_shell(platform, vcpus, cores):
    with Machine(linux(vcpus=vcpus), smp=cores, **platform.hardware) as m:
        m.expect(f"hilum: {platform.backend} root mode on {cores} core", START_S)
        m.prompt(LINUX_S)
        equal(m.shell("nproc"), str(vcpus), "nproc")
        timer = m.shell("grep -i 'LOC:' /proc/interrupts").split()
        true(all(int(count) > 0 for count in timer[1:1 + vcpus]), f"a vCPU without timer interrupts: {timer}")
        equal(m.shell("dd if=/dev/urandom of=/tmp/a bs=1M count=4 2>/dev/null; cp /tmp/a /tmp/b; cmp /tmp/a /tmp/b && echo same",
                      LINUX_S), "same")
        if platform is PLATFORMS["icelake"]:  # its defences are the guest's too, and root mode's own are chosen by the same bits
            m.shell("grep -q ' ibrs_enhanced' /proc/cpuinfo && grep -q 'Enhanced' /sys/devices/system/cpu/vulnerabilities/spectre_v2")
            true("defences against speculation: retpolines, IBRS, IBPB, RSB filling" in m.text, "root mode's defences are others")
        complaints = m.shell("dmesg | grep -iE 'BUG:|WARNING:|Oops|soft lockup|rcu.*stall|irq .*nobody cared' | "
                             f"grep -vE '{KNOWN_COMPLAINTS}' || true")
        equal(complaints, "", "complaints in the kernel's log")
        m.send("poweroff\n")
        m.expect(r"hilum: vm linux ended: poweroff", COMMAND_S)
        equal(m.finish(), 0, "status")


def test_cpu_without_virtualization():
    with Machine(linux(), linux=False, emulator="bochs", cpu="athlon64_venice") as m:
        m.expect(r"hilum: cannot start: [^\r\n]*does not offer SVM", START_S)
        equal(m.finish(), machine.EXIT_FAILED, "status")


@each(**cases({"": ()}))
@long_cases("ryzen")
def test_run_on_a_terminal(platform):
    run = pexpect.spawn(os.path.join(ROOT, "scripts", "run"), ["--no-build", "--emulator", "bochs", "--cpu", platform.hardware["cpu"]],
                        cwd=ROOT, timeout=COMMAND_S * 4, encoding="utf-8", codec_errors="replace", dimensions=(30, 100))
    try:
        run.expect(PROMPT, timeout=LINUX_S)
        run.send("stty size; nproc\n")
        run.expect(r"30 100\r+\n2\r+\n")
        run.expect(PROMPT)
        run.send("sh -c 'echo waiting; exec cat'\n")
        run.expect(r"waiting\r+\n")  # a signal before that would find the shell
        run.send("\x03")  # to the guest, not to run
        run.expect(PROMPT)
        run.send("poweroff\n")
        run.expect("hilum: vm linux ended: poweroff")
        run.expect(pexpect.EOF)
    finally:
        run.close(force=True)
    equal(run.exitstatus, 0, "status")


@each(**cases({"": ()}))
@long_cases("ryzen")
def test_debians_own_bochs(platform):
    """What the older one can, it does; the tests above run on the newer one where that was built."""
    os.environ["HILUM_BOCHS"] = bochs.DEBIAN
    passes("exceptions", 1, 2, cmdline=platform.cmdline(), **platform.hardware)
