"""scripts/coverage: which lines of root mode the tests execute, by gcc's counters for what runs on the host and by the emulators for the rest.

The lines are those that gcc counts and of which the kernel's image has instructions. QEMU says which blocks of the kernel's text it translates,
which it does just before it first executes them: what stands in a block behind an instruction that faults counts too. A Bochs that was
built for this notes each instruction. Assembly is not counted."""
import argparse
import collections
import concurrent.futures
import functools
import json
import os
import re
import shutil
import subprocess
import sys

import fuzz
import machine
import test as suite
from machine import ROOT

MODULES = ("boot", "arch", "kernel", "mm", "svm", "vmx")
LEAST_PERCENT = 85
OUT = os.path.join("build", "coverage")
OBJECTS = os.path.join(OUT, "objects")
KERNEL = os.path.join("build", "hilum.elf")
EXECUTED = os.path.join(OUT, "executed")  # what the emulators have said
BOCHS = os.path.join(ROOT, "cache", "bochs-coverage", "bochs")
MAKE = ["make", "-s", "-k", f"-j{os.cpu_count() or 1}", f"B={OBJECTS}", "UNIT_CHECKS=--coverage -w"]
ROOT_MODE = re.compile(r"(?:^|[ /])(?:boot|arch|kernel|mm|svm|vmx)/[\w/]+\.c\b|kernel_fake\.a")
# System tests that together come by most of what the unit tests cannot: boot on both vendors, their exits, refusals, the debugger, ends.
SYSTEM = ("system/(guests/guest_quick|bochs/guest_quick/icelake|vmx/(cpu_lacks|state_that|states_that)|gdb/stops$|refusals/(cpu|svm|no_control)|"
          "host/(panic|nmis))")
WRAPPER = """#!/bin/bash
exec {qemu} "$@" -d in_asm -dfilter {base:#x}+{size:#x} -D {executed}/qemu.$$.$RANDOM
"""


def tag(path, name):
    with open(path, encoding="utf-8") as file:
        return " ".join(re.findall(rf"{name}: *([^*\n]*)", file.read()))


def concerned(folder, pattern, name):
    """The tests that link anything of root mode."""
    return [file[:-2] for file in sorted(os.listdir(folder))
            if re.fullmatch(pattern, file) and ROOT_MODE.search(tag(os.path.join(folder, file), name))]


def clear_counters():
    for folder, _, files in os.walk(OBJECTS):
        for file in files:
            if file.endswith(".gcda"):
                os.remove(os.path.join(folder, file))


def run_all(commands, surroundings=None):
    """How many of them failed; each tells its name."""
    def run(command):
        if not os.path.exists(command[1][0]):
            print(f"FAIL {command[0]}: it was not built", flush=True)
            return True
        done = subprocess.run(command[1], capture_output=True, text=True, errors="replace", timeout=suite.TEST_LIMIT_S, env=surroundings,
                              check=False)
        print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {command[0]}", flush=True)
        if done.returncode != 0:
            print((done.stdout + done.stderr)[-2000:])
        return done.returncode != 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return sum(pool.map(run, commands))


def unit_tests():
    names = concerned(os.path.join("tests", "unit"), r"test_\w+\.c", "UNIT_SOURCES")
    subprocess.run([*MAKE, *(os.path.join(OBJECTS, "unit", name) for name in names)], check=False)
    return run_all([(f"unit/{name[5:]}", [os.path.join(OBJECTS, "unit", name)]) for name in names])


def fuzz_corpora():
    names = concerned(fuzz.TESTS, r"fuzz_\w+\.c", "FUZZ_SOURCES")
    subprocess.run([*MAKE, *(os.path.join(OBJECTS, "replay", name) for name in names)], check=False)
    commands = []
    for name in names:
        corpus = os.path.join(fuzz.TESTS, "corpus", name[5:])
        files = [os.path.join(corpus, file) for file in sorted(os.listdir(corpus))] if os.path.isdir(corpus) else []
        commands.append((f"fuzz/{name[5:]}", [os.path.join(OBJECTS, "replay", name), *files]))
    return run_all(commands)


def text_range():
    symbols = subprocess.run(["nm", KERNEL], capture_output=True, text=True, check=True).stdout
    first, last = (int(re.search(rf"([0-9a-f]+) \w {name}$", symbols, re.M)[1], 16) for name in ("kernel_text_start", "kernel_text_end"))
    return first, last - first


def system_tests(pattern):
    base, size = text_range()
    wrapper, noted = os.path.join(OUT, "qemu"), os.path.join(EXECUTED, "bochs")
    with open(wrapper, "w", encoding="utf-8") as file:
        file.write(WRAPPER.format(qemu=machine.QEMU, base=base, size=size, executed=os.path.abspath(EXECUTED)))
    os.chmod(wrapper, 0o755)
    if not os.path.exists(noted):
        with open(noted, "wb") as file:
            file.truncate(size)
    surroundings = {**os.environ, "HILUM_QEMU": os.path.abspath(wrapper), "HILUM_BOCHS": BOCHS, "HILUM_COVERAGE": os.path.abspath(noted),
                    "HILUM_COVERAGE_BASE": hex(base), "HILUM_COVERAGE_BYTES": str(size)}
    subprocess.run(["make", "-s", "-k", f"-j{os.cpu_count() or 1}", "services", "guests", "test-services"], check=False)
    return run_all([(test.name, test.command) for test in suite.system_tests() if re.search(pattern, test.name)], surroundings)


def qemu_blocks(file):
    """(first address, bytes) of each block in its log, which has them as hexadecimal digits, or, with Capstone, as instructions."""
    first = last = None
    for line in file:
        instruction = re.match(r"0x([0-9a-f]{16}): ", line)
        if line.startswith("IN:"):
            if first is not None:
                yield first, last - first
            first = None
        elif instruction:
            last = int(instruction[1], 16)
            first = last if first is None else first
            last += 1
        elif line.startswith("OBJD-T: ") and first is not None:
            last = (last - 1 if last == first + 1 else last) + len(line[8:].strip()) // 2
    if first is not None:
        yield first, last - first


def executed_addresses():
    """Those of the text that the emulators have said; of an instruction at least the first."""
    base, size = text_range()
    found = set()
    for name in os.listdir(EXECUTED) if os.path.isdir(EXECUTED) else []:
        path = os.path.join(EXECUTED, name)
        if name == "bochs":
            with open(path, "rb") as file:
                found.update(base + offset for offset, noted in enumerate(file.read()) if noted)
        else:
            with open(path, encoding="ascii", errors="replace") as file:
                for first, count in qemu_blocks(file):
                    found.update(range(first, first + count))
    return {address for address in found if base <= address < base + size}


@functools.lru_cache(maxsize=None)
def in_tree(name):
    """The file's name from the root of the tree, or None for what is none of root mode's."""
    name = os.path.normpath(os.path.relpath(name, ROOT) if os.path.isabs(name) else name)
    return name if name.split(os.sep)[0] in MODULES and os.path.exists(name) and not name.endswith(".asm") else None


def image_lines(addresses):
    """The lines of which the image has instructions, and those among them of the addresses: sets of (file, line). An instruction of an
    inlined function is one of its callers' lines too."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", KERNEL], capture_output=True, text=True, check=True).stdout
    every = [int(address, 16) for address in re.findall(r"^([0-9a-f]+):\t", text, re.M)]
    told = subprocess.run(["addr2line", "-i", "-a", "-e", KERNEL], input="\n".join(map(hex, every)), capture_output=True, text=True,
                          check=True).stdout
    there, executed, address = set(), set(), 0
    for line in told.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
            continue
        found = re.match(r"(.*):(\d+)", line)
        name = in_tree(found[1].split("//")[-1] if found and "//" in found[1] else found[1]) if found else None
        if name:
            there.add((name, int(found[2])))
            if address in addresses:
                executed.add((name, int(found[2])))
    return there, executed


def gcov(folder, suffix):
    """(file, line) -> count of all counters below the folder."""
    counts = collections.Counter()
    files = [os.path.abspath(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names if name.endswith(suffix)]
    for start in range(0, len(files), 50):
        done = subprocess.run(["gcov", "--json-format", "--stdout", *files[start:start + 50]], capture_output=True, text=True, check=True)
        for report in filter(None, done.stdout.splitlines()):
            for file in json.loads(report)["files"]:
                name = in_tree(file["file"])
                for line in file["lines"] if name else ():
                    counts[name, line["line_number"]] += line["count"]
    return counts


def count_lines():
    """file -> {line: how often}"""
    if subprocess.run([*MAKE, "coverage-baseline"], check=False).returncode != 0:
        raise machine.Failure("root mode was not compiled")
    there, executed = image_lines(executed_addresses())
    on_host = gcov(os.path.join(OBJECTS, "unit"), ".gcda") + gcov(os.path.join(OBJECTS, "replay"), ".gcda")
    lines = collections.defaultdict(dict)
    for name, line in gcov(os.path.join(OBJECTS, "baseline"), ".gcno").keys() & there:
        lines[name][line] = on_host[name, line] + ((name, line) in executed)
    return lines


def write_report(lines):
    info = os.path.join(OUT, "coverage.info")
    with open(info, "w", encoding="utf-8") as file:
        for name in sorted(lines):
            file.write(f"SF:{os.path.join(ROOT, name)}\n" + "".join(f"DA:{line},{count}\n" for line, count in sorted(lines[name].items())))
            file.write(f"LF:{len(lines[name])}\nLH:{sum(map(bool, lines[name].values()))}\nend_of_record\n")
    subprocess.run(["genhtml", "-q", "--prefix", ROOT, "-o", os.path.join(OUT, "html"), info], check=True)


def print_table(lines):
    """Status: 1 when a module has too little."""
    share = {name: (sum(map(bool, counts.values())), len(counts)) for name, counts in lines.items()}
    for name in sorted(share):
        print(f"{100 * share[name][0] / share[name][1]:5.1f} %  {share[name][0]:5} of {share[name][1]:5}  {name}")
    print()
    status = 0
    for module in MODULES:
        hit, every = (sum(part) for part in zip(*(share[name] for name in share if name.split("/")[0] == module), (0, 0)))
        low = 100 * hit < LEAST_PERCENT * every
        print(f"{100 * hit / every:5.1f} %  {hit:5} of {every:5}  {module}/{f'  below {LEAST_PERCENT} percent' if low else ''}")
        status |= low
    return int(status)


def main():
    parser = argparse.ArgumentParser(prog="coverage", add_help=False, allow_abbrev=False, usage="scripts/coverage [options]   (--help lists them)")
    parser.add_argument("--only", default="unit,fuzz,system")
    parser.add_argument("--filter", default=SYSTEM)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    failed = subprocess.run(["make", "-s", f"-j{os.cpu_count() or 1}", "kernel"], check=False).returncode
    if not options.again:
        clear_counters()
        shutil.rmtree(EXECUTED, ignore_errors=True)
    os.makedirs(EXECUTED, exist_ok=True)
    only = options.only.split(",")
    failed += unit_tests() if "unit" in only else 0
    failed += fuzz_corpora() if "fuzz" in only else 0
    failed += system_tests(options.filter) if "system" in only else 0
    lines = count_lines()
    write_report(lines)
    return print_table(lines) or int(failed != 0)


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        sys.exit(main())
    except machine.Failure as failure:
        sys.exit(f"coverage: {failure}")
