"""What the hosts of `scripts/bench --peers` have in common: the emulated machine, an initramfs with programs and their libraries, and a run
of it to its end. scripts/fetch-peer has put Debian's files into cache/peer; the base is the test guest's initramfs."""
import os
import re
import subprocess

import bootcost
import guestconfig
import initramfs
import machine

PEER = os.path.join(machine.ROOT, "cache", "peer")
# One machine for all. Xen's dom0 does not come up on a CPU that has SMEP and SMAP here, so nobody gets them.
CPU = machine.COUNTED_CPU + ",-smap,-smep"
MEMORY = "2G"
CMDLINE = "console=ttyS0 quiet nokaslr"
LIMIT_S = 900


def command(kernel, initrd, append, extra=()):
    return [*machine.QEMU_COMMAND, "-machine", "q35", "-cpu", CPU, "-m", MEMORY, "-smp", "1", "-accel", "tcg", *machine.COUNTED,
            "-display", "none", "-no-reboot", "-no-user-config", "-serial", "stdio", "-monitor", "none", "-nic", "none", *extra,
            "-kernel", kernel, "-initrd", initrd, "-append", append]


def libraries(program, folder=None):
    """The shared libraries of a program, and its loader: path in the initramfs -> file. folder: where some are that are not installed."""
    environment = {**os.environ, "LD_LIBRARY_PATH": folder} if folder else None
    text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, env=environment).stdout
    if "not found" in text:
        raise machine.Failure(f"{program} lacks libraries: {text}")
    found = {}
    for path in dict.fromkeys(re.findall(r"(/\S+) \(0x", text)):
        place = "lib/" + os.path.basename(path) if folder and path.startswith(folder) else path.lstrip("/")
        found[place] = os.path.realpath(path)
    return found


def folders(paths):
    """All folders that files of these paths need, outer ones first."""
    found = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            found["/".join(parts[:depth])] = None
    return list(found)


def joined(output, parts):
    with open(output, "wb") as file:
        for part in parts:
            with open(part, "rb") as source:
                file.write(source.read())
    return output


def host_initrd(scratch, name, files, script):
    """The test guest's initramfs with files (path in it -> file) and the script /peer/start, which hilum.run is to run."""
    start, more = (os.path.join(scratch, f"{name}-{part}") for part in ("start", "more.cpio.gz"))
    with open(start, "w", encoding="utf-8") as file:
        file.write(script)
    files = {**files, "peer/start": start}
    initramfs.write(more, [f"dir:{path}" for path in folders(files)] + [f"exec:{path}={source}" for path, source in files.items()])
    return joined(os.path.join(scratch, f"{name}.cpio.gz"), [guestconfig.DEFAULT_GUEST["initrd"], more])


def run(machine_command):
    """The text of a machine that ends by itself, and whose script has gone well."""
    try:
        done = subprocess.run(machine_command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise machine.Failure(f"the host is not done after {LIMIT_S} s: {(error.stdout or b'')[-800:].decode(errors='replace')}") from error
    text = done.stdout.decode(errors="replace")
    if "guest: command ended with status 0" not in text:
        raise machine.Failure(f"the host's script has failed: {text[-1500:]}")
    return text


def figure(text, pattern):
    found = re.search(pattern, text)
    if found is None:
        raise machine.Failure(f"the host has not printed '{pattern}': {text[-1500:]}")
    return int(found.group(1))


def bench_figures(text):
    """name -> instructions, as the bench guest prints them."""
    found = {name: int(value) for name, value in re.findall(r"bench: (\w+) (\d+) instructions", text)}
    if not re.search(r"guest: \d+ passed, 0 failed", text):
        raise machine.Failure(f"the bench guest has not come to its end: {text[-1500:]}")
    return found


def bench_files():
    """The bench guest's place in the host's initramfs -> file."""
    return {"peer/bench.elf": os.path.join(machine.BUILD, "guest", "bench.elf")}


def timed_files(scratch):
    """The same of the kernel and init that tell what their boot has taken."""
    kernel, initrd = bootcost.prepare(scratch)
    return {"peer/timed": kernel, "peer/timed.initrd": initrd}
