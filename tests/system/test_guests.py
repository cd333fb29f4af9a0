"""The test guests of tests/guest, which check the architecture from inside, run under Hilum."""
import os

from harness import Failed, Machine, each, equal, guestconfig, long, machine, quick, true

GUEST_S = 240


def guest(name):
    return os.path.join(machine.BUILD, "guest", f"{name}.elf")


def table(name, module=None, **keywords):
    return guestconfig.vm_table(name, module or name, debug_exit=0xF4, **keywords)


# name of the test -> guest, vCPUs, cores
SUITE = {
    "exceptions": ("exceptions", 1, 1), "lapic": ("lapic", 2, 2), "cpuid_msr": ("cpuid_msr", 1, 1), "paging": ("paging", 1, 1),
    "io": ("io", 1, 1), "fpu_4_vcpus_on_2_cores": ("fpu", 4, 2), "fpu_4_vcpus_on_1_core": ("fpu", 4, 1),
    "smp_tsc_4_vcpus_on_4_cores": ("smp_tsc", 4, 4), "smp_tsc_4_vcpus_on_2_cores": ("smp_tsc", 4, 2),
    "lapic_4_vcpus_on_1_core": ("lapic", 4, 1),
}


def passes(name, vcpus, cores, memory="256M", cmdline="", **hardware):
    config = guestconfig.config_text(table(name, vcpus=vcpus, memory=memory, cmdline=cmdline))
    with Machine(config, {name: guest(name)}, linux=False, smp=cores, **hardware) as m:
        totals = m.expect(r"guest: (\d+) passed, (\d+) failed", GUEST_S)
        status = m.finish()
        failures = [line.strip() for line in m.text.splitlines() if "FAIL " in line]
        if failures:
            raise Failed("; ".join(failures))
        true(int(totals.group(1)) > 0 and totals.group(2) == "0", f"totals: {totals.group()}")
        equal(status, 0, "status")


@each(**SUITE)
def test_guest(name, vcpus, cores):
    passes(name, vcpus, cores)


@quick
def test_guest_quick():
    passes("exceptions", 1, 2)


@long
def test_guest_on_64_cores():
    passes("exceptions", 1, 64)


def hostile_beside_neighbour(seed, end, *outcomes, words="", **hardware):
    """However a hostile guest behaves and ends, its neighbour's memory and time are its own, then and afterwards."""
    config = guestconfig.config_text(table("neighbour", vcpus=1, memory="64M", cmdline="seconds=1000000 key=1"),
                                     table("hostile", vcpus=1, memory="64M", cmdline=f"seed={seed} count=2000 end={end} {words}".strip()))
    with Machine(config, {name: guest(name) for name in ("neighbour", "hostile")}, linux=False,
                 **hardware) as m:
        m.expect("hilum: vm hostile ended", GUEST_S)
        for _ in range(2):
            m.expect(r"neighbour: second \d+ of", GUEST_S)
        m.send("q")
        m.expect(r"hilum: vm neighbour ended", GUEST_S)
        m.finish()
        equal(m.verdict.ends["neighbour"], ("debug-exit", "0"), "the neighbour's end")
        true(m.verdict.ends["hostile"][0] in outcomes, f"the hostile guest's end: {m.verdict.ends['hostile']}")
        true(not m.verdict.panicked, "Hilum panicked")


@each(**{f"seed_{seed}": (seed,) for seed in (1, 2, 3)})
def test_hostile_guest_that_triple_faults(seed):
    hostile_beside_neighbour(seed, "triple", "crash")


def test_hostile_guest_that_ends_by_itself():
    # QEMU's TCG lets a guest load a CR3 that VMRUN then refuses, so it may also end as a crash.
    hostile_beside_neighbour(4, "exit", "debug-exit", "crash")


def test_crash_is_a_status_of_its_own():
    config = guestconfig.config_text(table("hostile", cmdline="seed=5 count=10 end=triple"))
    with Machine(config, {"hostile": guest("hostile")}, linux=False) as m:
        equal(m.finish(GUEST_S), machine.EXIT_CRASH, "status")
