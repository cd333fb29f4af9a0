"""scripts/test --analyse [TOOL...]: gcc -fanalyzer, clang-tidy, sparse and cppcheck over root mode and the service VMs; any finding fails.

What a tool may not say, and why, stands beside the code (a comment of the tool's), in .clang-tidy, or in tests/analyse/.
"""
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TOOLS = ("gcc", "clang-tidy", "sparse", "cppcheck")
OURS = ("arch/", "boot/", "kernel/", "mm/", "svm/", "vmx/", "drivers-vm/")
ROOT_MODE = ("arch", "boot", "kernel", "mm", "svm", "vmx")
ONLY_GCC = ("-mindirect-branch", "-ffile-prefix-map", "-fno-builtin-printf", "-O", "-g", "-MMD", "-MP", "-W")
# What gcc 12's -fanalyzer may not say, by the start of the source's name.
GCC_QUIET = {
    # A block that is put into a list through a pointer to the list's head, or given to what keeps it, counts as lost.
    "drivers-vm/": ["-Wno-analyzer-malloc-leak"],
    # start_vcpu() returns if `s` is NULL; gcc forgets that behind the `||` of it and a call's result.
    "drivers-vm/control/driver.c": ["-Wno-analyzer-possible-null-dereference"],
}
LIMIT_S = 900


def compilations():
    """{source: its compiler's words, without what is written where}, as make would compile our sources (not fetched ones)."""
    subprocess.run(["make", "-s", "build/jsmn/jsmn.h"], cwd=ROOT, check=True)
    plan = subprocess.run(["make", "-B", "-n", "V=1", "CC=gcc", "kernel", "services"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in plan.splitlines():
        match = re.fullmatch(r"gcc (.*) -MMD -MP -MF \S+ -c -o \S+ (\S+\.c)", line)
        if match and match[2].startswith(OURS):
            found[match[2]] = shlex.split(match[1])
    return found


def command_of(tool, source, flags):
    plain = [flag for flag in flags if not flag.startswith(ONLY_GCC)]
    if tool == "gcc":
        quiet = [flag for start, of in GCC_QUIET.items() if source.startswith(start) for flag in of]
        return ["gcc", *flags, "-fanalyzer", *quiet, "-S", "-o", "/dev/null", source]
    if tool == "clang-tidy":
        return ["clang-tidy", "--quiet", "--warnings-as-errors=*", source, "--", *plain]
    if tool == "sparse":
        # -Wno-decl: some variables are read by assembly only, which needs no declaration; gcc's -Wmissing-prototypes looks at functions.
        # -Wno-cast-truncate: a cast of a constant to its low bits is how bytes of addresses and ~bits are written here.
        kept = [flag for flag in plain if flag == "-ffreestanding" or not flag.startswith(("-f", "-m"))]
        return ["sparse", "-Wsparse-error", "-Wno-decl", "-Wno-cast-truncate", *kept, "-m64", source]
    raise ValueError(tool)


def cppcheck(folders, *more):
    return ["cppcheck", "-q", "--enable=warning,portability", "--std=c11", "--platform=unix64", "--inline-suppr", "--error-exitcode=1",
            "--library=tests/analyse/cppcheck.cfg", "--suppressions-list=tests/analyse/cppcheck-suppressions", "-I.", "-Iinclude", *more, *folders]


def run(command):
    """What the tool has found; "": nothing."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=LIMIT_S)
    said = "\n".join(line for line in done.stdout.splitlines() if not re.fullmatch(r"\d+ warnings? generated\.|Suppressed \d+ .*|Use -header-.*", line))
    return said or f"{command[0]} ended with status {done.returncode}" if done.returncode else ""


def main():
    tools = sys.argv[1:] or TOOLS
    unknown = sorted(set(tools) - set(TOOLS) - {"cppcheck-root"})
    if unknown:
        print(f"analyse: no such tool: {', '.join(unknown)} ({', '.join(TOOLS)})", file=sys.stderr)
        return 2
    jobs = []
    if set(tools) - {"cppcheck", "cppcheck-root"}:
        jobs = [(tool, command_of(tool, source, flags)) for source, flags in compilations().items() for tool in tools if tool in TOOLS[:3]]
    if "cppcheck" in tools or "cppcheck-root" in tools:
        jobs.append(("cppcheck", cppcheck(ROOT_MODE)))
    if "cppcheck" in tools:
        jobs.append(("cppcheck", cppcheck(["drivers-vm"], "-Idrivers-vm/runtime/include")))
    findings = {tool: 0 for tool, _ in jobs}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (tool, command), said in zip(jobs, pool.map(run, [command for _, command in jobs])):
            if said:
                findings[tool] += 1
                print(f"{tool} {command[-1] if tool == 'gcc' or tool == 'sparse' else ''}\n{said}", flush=True)
    for tool, count in findings.items():
        print(f"{tool}: {sum(name == tool for name, _ in jobs)} runs, {count} with findings")
    return 1 if any(findings.values()) or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
