"""The scripts themselves: what can be seen without a machine."""
import gzip
import os
import socket
import subprocess
import sys
import tempfile
import time

from harness import ROOT, Patience, equal, guestconfig, machine, quick, true

RUN = os.path.join(ROOT, "scripts", "run")


def status_of(*lines):
    verdict = machine.Verdict()
    data = "\r\n".join(lines).encode()
    for start in range(0, len(data), 7):  # as it may come: cut anywhere
        verdict.feed(data[start:start + 7])
    return verdict.status()


@quick
def test_exit_status_follows_the_serial_line():
    log = "hilum: 2 cores"
    equal(status_of(log, "hilum: vm guest ended: poweroff"), 0)
    equal(status_of(log, "hilum: vm guest ended: reset"), 0)
    equal(status_of(log, "hilum: vm guest ended: debug-exit 0"), 0)
    equal(status_of(log, "hilum: vm guest ended: debug-exit 7"), 7)
    equal(status_of(log, "hilum: vm guest ended: debug-exit 0x10"), 16)
    equal(status_of(log, "hilum: vm guest ended: debug-exit 200"), 119)
    equal(status_of(log, "hilum: vm guest ended: crash (triple fault)"), 120)
    equal(status_of(log, "hilum: panic: frame 12 has two owners"), 121)
    equal(status_of(log), 123)
    equal(status_of("GRUB loading"), 123)
    equal(status_of("hilum: cannot start: no SVM", "hilum: vm guest ended: poweroff"), 123)


@quick
def test_exit_status_takes_the_last_word_about_a_vm_and_the_worst_of_all_vms():
    equal(status_of("hilum: vm a ended: debug-exit 0 (forged)", "hilum: vm a ended: crash (triple fault)"), 120)
    equal(status_of("hilum: vm a ended: debug-exit 3", "hilum: vm b ended: poweroff"), 3)
    equal(status_of("hilum: vm a ended: poweroff", "hilum: panic: x"), 121)


def time_had_by(*others):
    """Of three seconds, how much a busy process has that others share a processor with."""
    core = min(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"]
    patience = Patience()
    running = [subprocess.Popen(busy) for _ in ("it", *others)]
    try:
        patience.watch(running[0])
        began, until = patience.now(), time.monotonic() + 3
        while time.monotonic() < until:
            time.sleep(0.1)
        return patience.now() - began
    finally:
        for process in running:
            process.kill()
            process.wait()


@quick
def test_limits_do_not_count_what_the_host_does_meanwhile():
    had = time_had_by("one", "another", "a third")
    true(had < 1.5, f"one of four has {had:.1f} s of three")


@quick
def test_limits_count_the_time_of_an_emulator_that_waits_for_something():
    patience = Patience()
    with subprocess.Popen(["sleep", "60"]) as idle:
        patience.watch(idle)
        began = patience.now()
        time.sleep(2)
        had = patience.now() - began
        idle.kill()
    true(had > 1, f"one that sleeps has {had:.1f} s of two")


@quick
def test_run_refuses_wrong_usage():
    for arguments in (["--bogus"], ["--vcpus", "none"], ["--firmware", "open"], ["--guest", "/no/such/file"],
                      ["--initrd", RUN], ["--config", RUN, "--vcpus", "2"], ["--debug-exit", "70000"], ["--memory", "256X"],
                      ["--emulator", "vmware"], ["--emulator", "bochs", "--firmware", "uefi"],
                      ["--emulator", "bochs", "--icount"], ["--emulator", "bochs", "--mem", "4G"]):
        done = subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=60)
        equal(done.returncode, machine.EXIT_USAGE, f"status of run {' '.join(arguments)}")
        true("usage" in done.stderr, f"no usage for {arguments}: {done.stderr}")


@quick
def test_run_says_what_is_wrong_before_it_boots():
    with machine.Scratch() as scratch, socket.socket() as taken:
        def run(*arguments):
            done = subprocess.run([RUN, "--no-build", "--print", *arguments], capture_output=True, text=True, timeout=60)
            return done.returncode, done.stderr

        def config(text):
            path = os.path.join(scratch, "my.toml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return path

        status, said = run("--config", config("[[vm]]\nname = 'a'\nkernel = 'vmlinuz'\nmemroy = '3M'\n"))
        equal(status, machine.EXIT_FAILED, "status of a configuration with an error")
        true("my.toml:4: vm.memroy: unknown key" in said, said)
        status, said = run("--config", config("[[vm]]\nname = 'a'\nkernel = 'none.elf'\n"))
        equal(status, 0, "status without a kernel, which may be uploaded")
        true("my.toml names 'none.elf', which is neither" in said, said)
        taken.bind(("127.0.0.1", 0))
        status, said = run("--api-port", str(taken.getsockname()[1]))
        equal(status, machine.EXIT_FAILED, "status for a port that is taken")
        true("is in use" in said, said)


@quick
def test_filter_without_a_match_is_an_error():
    test = os.path.join(ROOT, "scripts", "test")
    done = subprocess.run([test, "--list", "--filter", "no-such-test"], capture_output=True, text=True, timeout=60)
    equal(done.returncode, 2, "status")
    true("no test's name matches" in done.stderr, done.stderr)


@quick
def test_run_help_names_every_exit_status():
    done = subprocess.run([RUN, "--help"], capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0)
    for status in (machine.EXIT_CRASH, machine.EXIT_PANIC, machine.EXIT_TIMEOUT, machine.EXIT_FAILED):
        true(str(status) in done.stdout, f"{status} is not in the help")


@quick
def test_configuration_quotes_what_a_command_line_may_hold():
    import tomllib
    line = 'console=ttyS0 hilum.run="echo \\"a\\"" \t#'
    table = tomllib.loads(guestconfig.config_text(guestconfig.linux_table(cmdline=line, debug_exit=0xF4)))["vm"][0]
    equal(table["cmdline"], f"{guestconfig.LINUX_CMDLINE} {line}")
    equal(table["debug_exit"], 0xF4)


@quick
def test_initramfs_is_an_archive_that_cpio_reads():
    with gzip.open(guestconfig.DEFAULT_GUEST["initrd"]) as file:
        data = file.read()
    true(data.startswith(b"070701") and len(data) % 4 == 0, "no newc archive")
    names, offset = [], 0
    while offset < len(data):
        size, name_size = int(data[offset + 54:offset + 62], 16), int(data[offset + 94:offset + 102], 16)
        names.append(data[offset + 110:offset + 110 + name_size - 1].decode())
        offset += (110 + name_size + 3) // 4 * 4
        offset += (size + 3) // 4 * 4
    equal(names[-1], "TRAILER!!!")
    for name in ("init", "bin/busybox", "dev/console", "etc/profile", "sbin/debug-exit"):
        true(name in names, f"{name} is missing")


def trace_line(address, flags=0x30c2b0):
    return f"Trace 0: 0x7f0000000100 [0000000000000000/{address:016x}/{flags:08x}/ff020201] \n"


class FewSymbols:
    """Two labels, and nothing else."""

    guest = None

    def __init__(self):
        self.guest = self

    @staticmethod
    def of(name):
        return {"bench_round_start": 0x1000, "bench_round_end": 0x1010}[name]


@quick
def test_phases_count_what_completes_between_the_labels():
    import phases
    kernel = 0xFFFFFFFF80200000
    lines = [trace_line(a) for a in (0x900, 0x1000, 0x1001, 0x1002, kernel, kernel + 4)]
    lines.append("cpu_io_recompile: rewound execution of TB to ffffffff80200004\n")
    lines += [trace_line(a) for a in (kernel + 4, 0x1003, 0x1010, 0x1011)]
    with tempfile.NamedTemporaryFile("w", suffix=".trace") as file:
        file.writelines(lines)
        file.flush()
        rounds = list(phases.read_rounds(file.name, FewSymbols()))
    equal(len(rounds), 1)
    # 1001, the kernel's two, 1003, the end: not 1002, which left the guest, nor the one that was taken back
    equal(rounds[0].total(), 5)
    equal(rounds[0][b"%016x" % 0x1002], 0)
    equal(rounds[0][b"%016x" % (kernel + 4)], 1)


@quick
def test_io_trace_tells_guest_root_mode_and_service_vms_apart():
    import iotrace
    kernel, begin, end, driver = 0xFFFFFFFF80200000, 0x5A000010, 0x5A000020, 0x210000
    root_flags = 0x10d0c2b0
    guest_flags = root_flags | iotrace.IN_GUEST
    executed = [(kernel, 0), (begin, 1), (kernel, 1), (kernel, 0), (kernel + 4, 0), (driver, 1), (kernel + 8, 0), (0xFFFFFFFF81000000, 1),
                (kernel, 0), (end, 1), (kernel, 0)]
    lines = [trace_line(address, guest_flags if inside else root_flags) for address, inside in executed]
    lines.insert(5, "Stopped execution of TB chain before 0x7f0000000100 [ffffffff80200004] \n")
    lines += ["End of trace\n", trace_line(begin, guest_flags)]
    with tempfile.TemporaryDirectory() as folder:
        pipe = os.path.join(folder, "pipe")
        os.mkfifo(pipe)
        reader = iotrace.Reader(pipe, begin, end, (0x200000, 0x400000))
        reader.read(line.encode() for line in lines)
        os.close(reader.pipe)
    equal(len(reader.found), 1)
    counts = reader.found[0]
    # The kernel's own address in the guest is the guest's; what was taken back does not count, nor what is outside begin and end.
    equal((counts.guest, counts.outside.total(), counts.service.total()), (4, 3, 1))
    equal(dict(counts.left), {kernel: 1, 0xFFFFFFFF81000000: 1})
    equal(counts.outside[kernel + 4], 0)
