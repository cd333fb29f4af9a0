"""Shares of the cores: weights, caps, harmful neighbours and locks in emulated time (scripts/lib/schedbench.py: one instruction is a
nanosecond, so nothing depends on how busy this computer is); dedicated cores and Debian's paravirtual spinlocks by what is counted."""
import os
import time

import apiclient
import schedbench
from harness import Machine, equal, guestconfig, linux, long, machine, true

BUSY = "mode=work window=100000000 from=1000000 to=1000000"  # for ever
WATCH_S = 5
CHANGE_S = 60


def in_scratch(measure, *arguments):
    with machine.Scratch() as scratch:
        return measure(*arguments[:1], scratch, *arguments[1:])


def has_weights(platform, windows):
    shares, whole = in_scratch(schedbench.weights, platform, windows)
    for part, fair in zip(shares, (1 / 7, 2 / 7, 4 / 7)):
        true(abs(part / fair - 1) < 0.05, f"weights 1:2:4 have {shares} of what they have together")
    true(whole > 0.95, f"the three have {whole:.1%} of the core")


def has_cap(platform, windows):
    part = in_scratch(schedbench.cap, platform, 25, windows)
    true(0.23 < part < 0.27, f"a guest with cap = 25 has {part:.1%} of a core")


def test_weights_1_2_4_have_shares_within_5_percent():
    has_weights(schedbench.SVM, 4)


def test_cap_of_25_percent_holds_within_2():
    has_cap(schedbench.SVM, 10)


def test_weights_and_a_cap_on_vmx():
    has_weights(schedbench.VMX, 4)
    has_cap(schedbench.VMX, 10)


def test_harmful_neighbour_costs_its_share_at_most():
    for kind, part in in_scratch(schedbench.harm, schedbench.SVM).items():
        true(part > 0.95 / 2, f"beside a guest of the same weight that does harm by {kind}, a guest has {part:.1%} of the core")


def test_lock_with_pause_is_3_times_faster():
    with_pause, without = (in_scratch(schedbench.lock, schedbench.SVM, pause) for pause in (True, False))
    true(without >= 3 * with_pause, f"{with_pause} ticks with PAUSE, {without} without")


def test_dedicated_core_is_never_taken_away():
    # On Bochs: QEMU's timer always ticks (arch/x86_64/lapic.h).
    alone, shared = in_scratch(schedbench.steps, schedbench.VMX)
    # The control VM looks once a second whether each core still runs (HC_HOST_HEALTH); a tick would come 250 times.
    true(alone <= 5, f"a guest's own core was not its {alone} times in two seconds")
    true(shared >= 20, f"a core that two guests share was taken away {shared} times")


def test_paravirtual_spinlocks_of_debian_on_one_core():
    """They are on, and who waits lets the holder run: by PAUSE exits, or asleep until it is kicked."""
    with Machine(linux(vcpus=4), smp=1, api=True) as m:
        api = apiclient.Api(m)
        m.prompt()
        true("PV spinlocks enabled" in m.shell("dmesg | grep spinlocks"), "no paravirtual spinlocks")
        m.shell("mount -t tracefs none /sys/kernel/tracing; echo p:kick kvm_kick_cpu >/sys/kernel/tracing/kprobe_events; "
                "echo 1 >/sys/kernel/tracing/events/kprobes/enable")
        waits, rounds = 0, 0
        while waits == 0 and rounds < 10:
            # Processes begin and end, and take pages, on all four vCPUs.
            m.shell("for i in 1 2 3 4 5 6 7 8; do (dd if=/dev/zero of=/tmp/$i bs=64k count=100 2>/dev/null; rm /tmp/$i) & done; wait",
                    within_s=240)
            kicks = int(m.shell("cat /sys/kernel/tracing/kprobe_profile").split()[1])
            pauses = sum(one["exits"].get("pause", 0) for one in api.vm("linux")["stats"]["vcpus"])
            waits = kicks + pauses
            rounds += 1
        print(f"{kicks} kicks, {pauses} PAUSE exits in {rounds} rounds")
        true(waits > 0, f"nobody has waited for a lock in {rounds} rounds")
        equal(m.shell("dmesg | grep -iE 'BUG:|soft lockup|rcu.*stall' || true"), "", "complaints in the kernel's log")


def vcpu(api, name):
    return api.vm(name)["stats"]["vcpus"][0]


def growth(api, name, seconds):
    """How far the figures of the VM's vCPU 0 have gone in that time."""
    before = vcpu(api, name)
    time.sleep(seconds)
    after = vcpu(api, name)
    return {key: after[key] - before[key] for key in ("run_ns", "ready_ns", "capped_ns")}


@long
def test_cores_and_shares_change_while_it_runs():
    table = lambda name, **keys: guestconfig.vm_table(name, "sched", memory="32M", cmdline=BUSY, **keys)  # noqa: E731
    config = guestconfig.config_text(table("alone", cpus="1", dedicated=True), table("one"), table("two"), on_last_guest_exit="stay")
    module = os.path.join(machine.BUILD, "guest", "sched.elf")
    with Machine(config, {"sched": module}, linux=False, api=True, smp=2) as m:
        api = apiclient.Api(m)
        for name in ("alone", "one", "two"):
            api.state(name, "running", CHANGE_S)
        time.sleep(2)  # until the last of them has been placed
        alone = growth(api, "alone", WATCH_S)
        true(alone["run_ns"] > 0 and alone["ready_ns"] == 0, f"it did not have its core: {alone}")
        equal([vcpu(api, name)["core"] for name in ("alone", "one", "two")], [1, 0, 0], "cores")
        shared = growth(api, "one", WATCH_S)
        true(shared["run_ns"] > 0 and shared["ready_ns"] > 0, f"the others do not share: {shared}")
        refused = api.expect(422, "PUT", "/vms/one/schedule", {"cpus": "1"})
        equal(refused["field"], "cpus", "field of the refusal")
        api.expect(200, "PUT", "/vms/alone/schedule", {"dedicated": False, "cpus": "all", "cap": 25})
        changed = growth(api, "alone", WATCH_S)
        whole = changed["run_ns"] + changed["ready_ns"] + changed["capped_ns"]
        true(0.2 < changed["run_ns"] / whole < 0.27, f"cap = 25 while it runs: {changed}")
