"""The table of `scripts/bench --peers`: what can be seen without a machine. The bench itself is nobody's test."""
import os
import subprocess
import tempfile

from harness import ROOT, equal, machine, quick, true

import peerclock
import peertable
import xenpeer


def exits(**more):
    return {**{name: 100 for name, *_ in peertable.ROWS["exits"]}, **more}


def row(found, name):
    return next(row for row in found if row.name == name)


@quick
def test_ratio_is_to_the_better_peer():
    found = peertable.rows({"exits": {"hilum": exits(cpuid_exit=340), "kvm": exits(cpuid_exit=3080), "xen": exits(cpuid_exit=1000)}})
    equal(row(found, "cpuid_exit").ratio(), 0.34)
    true("| CPUID exit | instructions | 340 | 3,080 | 1,000 | 0.340 |" in peertable.text(found), peertable.text(found))


@quick
def test_what_xen_cannot_have_is_blank_and_said_why():
    found = peertable.rows({"exits": {"hilum": exits(doorbell_port_write=200), "kvm": exits(), "xen": exits(doorbell_port_write=1)}})
    equal(row(found, "doorbell_port_write").ratio(), 2.0)
    true("| doorbell by port | instructions | 200 | 100 | – | **2.000** |" in peertable.text(found), peertable.text(found))
    listed = {entry["name"]: entry for entry in peertable.document(found, {})["rows"]}
    equal(listed["doorbell_port_write"]["xen"], None)
    true("device model" in listed["doorbell_port_write"]["why_not_xen"], "no reason")
    true("why_not_xen" not in listed["cpuid_exit"], "a reason where there is a figure")


@quick
def test_a_host_alone_has_no_ratio_and_a_figure_that_lacks_is_a_failure():
    found = peertable.rows({"linux": {"kvm": {"linux_to_init": 5}}})
    equal(found[0].ratio(), None)
    true("| – | 5 | – | – |" in peertable.text(found), peertable.text(found))
    try:
        peertable.rows({"exits": {"kvm": {"cpuid_exit": 1}}})
    except machine.Failure as failure:
        true("hypercall_empty" in str(failure), str(failure))
    else:
        raise AssertionError("a table without its rows")


@quick
def test_the_picture_is_one():
    found = peertable.rows({"exits": {"hilum": exits(), "kvm": exits(npf=300), "xen": exits()}})
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "peers.png")
        peertable.plot(found, output)
        with open(output, "rb") as file:
            equal(file.read(8), b"\x89PNG\r\n\x1a\n")


@quick
def test_time_between_two_stops_counts_the_timers_wraps():
    second = peerclock.PM_HZ
    equal(peerclock.elapsed_ns((100, 5), (100 + second, 6)), 10**9)
    equal(peerclock.elapsed_ns((peerclock.PM_WRAP - second // 2, 59), (second // 2, 0)) // 10**6, 999)
    equal(peerclock.elapsed_ns((0, 50), (12 * second % peerclock.PM_WRAP, 2)) // 10**6, 11999 + 1)
    equal(peerclock.elapsed_ns((0, 10), (1000, 11)) // 1000, 279)  # the seconds change in between


@quick
def test_bench_refuses_unknown_words():
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "scripts", "lib", "peerbench.py"), "hyper-v"], capture_output=True, text=True, timeout=60)
    equal(done.returncode, 2)
    true("hyper-v" in done.stderr, done.stderr)


@quick
def test_domains_are_written_as_xl_reads_them():
    text = xenpeer.domain("count=2", "guest", kernel="/k", initrd="/i", mib=96)
    for line in ('type="pvh"', 'kernel="/k"', 'ramdisk="/i"', "cmdline='count=2'", "memory=96", 'tsc_mode="native"'):
        true(line in text.split("\n"), f"{line} is not in {text}")
