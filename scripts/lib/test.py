"""scripts/test: builds everything, then runs unit tests, checks and system tests, a few at once, and counts them."""
import argparse
import concurrent.futures
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time

import fuzz
import machine
from machine import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import harness  # noqa: E402

TEST_LIMIT_S = 900  # a test's own deadlines are shorter; this is for a harness that hangs
LONG_LIMIT_S = 4 * TEST_LIMIT_S
UNIT_LIMIT_S = 300
CHECK_LIMIT_S = 600  # some drive a browser or a compiler
SLOW_CHECKS = ("run-clang-build", "run-web")  # a minute each: not with --quick
FUZZ_SECONDS = 30  # of each target
FUZZ_RUNS = 2000  # of each target with --quick, the same inputs each time
OUTPUT_LINES = 80
# Debian's QEMU now and then hands the host's own state back as the guest's, whose VM then crashes in the kernel's address range with the
# kernel's IDT (docs/lab.md). Hilum cannot tell what the guest's state was; the test is run once more, and says so.
EMULATOR_FAULT = re.compile(r"gdt 0xffff80[0-9a-f]{10}/0x27 idt 0xffffffff80[0-9a-f]{6}/0xfff")
COMPILING = re.compile(r"  [A-Z]+ +\S")  # what make says of each step
BUILDS = {  # in order; the first that fails leaves the rest to fail by themselves
    "build/hilum": ["make", "-s", "kernel", "services"],
    "build/guests": ["make", "-s", "-k", "guests"],
    "build/test-services": ["make", "-s", "test-services"],
    "build/tools": ["make", "-s", "tools"],
    "build/simulator": ["make", "-s", "sim"],  # here, since tests that run at once use it
    "build/unit-tests": ["make", "-s", "-k", "unit-build"],
    "build/fuzz-targets": ["make", "-s", "-k", "fuzz-build"],
}
# What --changed runs whatever has changed: checks that take less than a second, and a boot with a guest's whole architecture in it.
CHANGED_ALWAYS = re.compile(r"check/(abi-doc|budget|security|walkthrough)|system/guests/guest_quick")


class Test:
    def __init__(self, name, command, limit_s, *, quick=False, long=False, count=None):
        self.name, self.command, self.limit_s, self.quick, self.long, self.count = name, command, limit_s, quick, long, count

    def run(self):
        """(passed, note, output)"""
        try:
            process = subprocess.Popen(self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        except OSError as error:
            return False, "", str(error)
        with running_lock:
            running.add(process)
        try:
            output, _ = process.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            output += f"\nstopped after {self.limit_s} s"
        with running_lock:
            running.discard(process)
        cases = re.search(self.count, output) if self.count else None
        note = f" ({cases.group(1)} {'inputs' if 'inputs' in self.count else 'cases'})" if cases else ""
        return process.returncode == 0 and (not self.count or cases is not None), note, output


running = set()
running_lock = threading.Lock()


def unit_tests():
    folder = os.path.join(ROOT, "tests", "unit")
    names = sorted(name[:-2] for name in os.listdir(folder) if re.fullmatch(r"test_\w+\.c", name))
    return [Test(f"unit/{name[5:]}", [os.path.join("build", "unit", name)], UNIT_LIMIT_S, quick=True,
                 count=r"\[==========\] (?:tests: )?(\d+) test\(s\) run") for name in names]


def fuzz_tests(options):
    """One test for each target: seconds of all of them together with --fuzz, else a constant of seconds or, when quick, of inputs."""
    limit, seconds = ["--seconds", str(FUZZ_SECONDS)], FUZZ_SECONDS
    if options.fuzz:
        seconds = max(1, options.fuzz * 60 * max(1, options.jobs) // len(fuzz.parts()))
        limit = ["--seconds", str(seconds), "--keep"]
    elif options.quick:
        limit = ["--runs", str(FUZZ_RUNS)]
    return [Test(f"fuzz/{part}", [sys.executable, fuzz.__file__, part, *limit], UNIT_LIMIT_S + seconds, quick=True, count=r"(\d+) inputs")
            for part in fuzz.parts()]


def checks():
    """Executables tests/run-*: each is one test, run from the root of the tree."""
    folder = os.path.join(ROOT, "tests")
    return [Test(f"check/{name[4:]}", [os.path.join("tests", name)], CHECK_LIMIT_S, quick=name not in SLOW_CHECKS)
            for name in sorted(os.listdir(folder)) if name.startswith("run-")]


def system_tests():
    folder = os.path.join(ROOT, "tests", "system")
    tests = []
    for file in sorted(os.listdir(folder)):
        if not re.fullmatch(r"test_\w+\.py", file):
            continue
        path = os.path.join(folder, file)
        spec = importlib.util.spec_from_file_location(file[:-3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function, _ in harness.tests_in(module):
            is_long = getattr(function, "long", False) or name.partition("/")[2] in getattr(function, "long_cases", ())
            tests.append(Test(f"system/{file[5:-3]}/{name}", [sys.executable, harness.__file__, path, name],
                              LONG_LIMIT_S if is_long else TEST_LIMIT_S, quick=getattr(function, "quick", False), long=is_long))
    return tests


class Report:
    def __init__(self, retries=0):
        self.passed = self.failed = 0
        self.retries = retries
        self.unsteady = []  # tests that failed once and then passed
        self.lock = threading.Lock()

    def result(self, name, passed, seconds, note="", output=""):
        with self.lock:
            self.passed += passed
            self.failed += not passed
            self.show("ok  " if passed else "FAIL", name, note, seconds, "" if passed else output)

    @staticmethod
    def show(verdict, name, note, seconds, output):
        print(f"{verdict} {name}{note} {seconds:.1f} s", flush=True)
        kept = [line for line in output.rstrip().splitlines() if not COMPILING.match(line)]
        print("".join(f"     | {line}\n" for line in kept[-OUTPUT_LINES:]), end="", flush=True)

    def may_retry(self):
        with self.lock:
            self.retries -= 1
            return self.retries >= 0

    def run(self, test):
        start = time.monotonic()
        passed, note, output = test.run()
        if not passed and machine.QEMU != machine.BUILT_QEMU and EMULATOR_FAULT.search(output):
            passed, note, output = test.run()
            note += " (second run: in the first, QEMU gave the host's state for a guest's)"
        if not passed and test.name.startswith("system/") and self.may_retry():
            with self.lock:
                self.show("FAIL", test.name, note + " (is run once more)", time.monotonic() - start, output)
            passed, note, output = test.run()
            if passed:
                self.unsteady.append(test.name)
                note += " (second run)"
        self.result(test.name, passed, time.monotonic() - start, note, output)
        return passed


def lines_of(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def changed_files():
    """What differs from the last commit, or, where nothing does, what that commit changed."""
    files = lines_of("git", "diff", "--name-only", "HEAD") + lines_of("git", "ls-files", "--others", "--exclude-standard")
    files = files or lines_of("git", "show", "-m", "--first-parent", "--name-only", "--format=", "HEAD")
    return [file for file in files if os.path.exists(os.path.join(ROOT, file))]


def concerned(files):
    """The unit tests that make would build anew if these files were new: it knows what is made of what."""
    plan = lines_of("make", "-n", *(word for file in files for word in ("-W", file)), "unit-build")
    return {match[1] for line in plan for match in [re.search(r"  UNIT  tests/unit/test_(\w+)\.c", line)] if match}


def choose_changed(tests):
    """The tests to run after a change, and how to build what they need."""
    units = concerned(changed_files())
    print(f"{len(units)} unit tests are concerned", flush=True)
    builds = {name: BUILDS[name] for name in ("build/hilum", "build/guests")}
    if units:
        builds["build/unit-tests"] = ["make", "-s", "-k", *(f"build/unit/test_{name}" for name in sorted(units))]
    return [test for test in tests if CHANGED_ALWAYS.fullmatch(test.name) or test.name[5:] in units and test.name.startswith("unit/")], builds


def build(report, builds, jobs):
    for name, command in builds.items():
        report.run(Test(name, command + [f"-j{jobs}"], 1800))


def soak(seconds, jobs):
    """Only the soak, for so long; its lines are shown as they come."""
    report = Report()
    build(report, {"build/hilum": BUILDS["build/hilum"]}, jobs)
    began = time.monotonic()
    path = os.path.join(ROOT, "tests", "system", "test_soak.py")
    status = subprocess.call([sys.executable, harness.__file__, path, "soak"], env={**os.environ, "HILUM_SOAK_S": f"{seconds:.0f}"},
                             stdin=subprocess.DEVNULL)
    report.result("system/soak/soak", status == 0, time.monotonic() - began)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def main():
    parser = argparse.ArgumentParser(prog="test", add_help=False, allow_abbrev=False,
                                     usage="scripts/test [options]   (--help lists them)")
    for flag in ("--quick", "--long", "--list", "--changed"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--fuzz", type=int, metavar="MINUTES")
    parser.add_argument("--filter", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--retry", type=int, default=0)
    parser.add_argument("--soak", type=float)
    options = parser.parse_args()
    try:
        wanted = re.compile(options.filter)
    except re.error as error:
        parser.error(f"--filter: {error}")
    if options.soak:
        return soak(options.soak * 60, options.jobs)
    every = fuzz_tests(options) if options.fuzz else unit_tests() + fuzz_tests(options) + checks() + system_tests()
    tests = [test for test in every
             if wanted.search(test.name) and (options.long or not test.long) and (test.quick or not options.quick)]
    builds = BUILDS
    if options.filter and not tests:
        hidden = any(wanted.search(test.name) for test in every)
        parser.error(f"--filter: no test's name matches '{options.filter}'" + (", but for some that need --long or are not in --quick" if hidden else ""))
    if options.changed:
        try:
            tests, builds = choose_changed(tests)
        except (OSError, subprocess.CalledProcessError) as error:
            parser.error(f"--changed: {error}")
    for kind, name in ("unit/", "build/unit-tests"), ("fuzz/", "build/fuzz-targets"):
        if not any(test.name.startswith(kind) for test in tests):
            builds = {other: command for other, command in builds.items() if other != name}
    if options.fuzz:
        builds = {name: command for name, command in builds.items() if name == "build/fuzz-targets"}
    if options.list:
        print(*(test.name for test in tests), sep="\n")
        return 0
    report = Report(options.retry)
    build(report, builds, max(options.jobs, os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        try:
            list(pool.map(report.run, tests))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            with running_lock:
                for process in running:
                    os.killpg(process.pid, signal.SIGKILL)
            print("interrupted")
            report.failed += 1
    for name in report.unsteady:
        print(f"{name} passed in its second run only")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    os.makedirs(machine.BUILD, exist_ok=True)
    sys.exit(main())
