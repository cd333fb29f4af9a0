"""scripts/run: reads the options (described in scripts/run itself), makes the boot medium and runs the machine."""
import argparse
import functools
import os
import re
import shlex
import subprocess
import sys

import bochs
import guestconfig
import machine
import terminal


def byte_size(text):
    if not re.fullmatch(r"[0-9]+[KMGT]?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 256M or 1G")
    return text


def positive(text):
    if not re.fullmatch(r"[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time in seconds")
    return value


def port(text):
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise argparse.ArgumentTypeError(f"'{text}' is not an I/O port such as 0xf4")
    return value


def tcp_port(text):
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"'{text}' is not a TCP port such as 8443")
    return int(text)


def existing(text):
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return text


def module(text):
    name, equals, path = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=FILE")
    return name, existing(path)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run", add_help=False, allow_abbrev=False,
                                     usage="scripts/run [options]   (--help lists them)")
    add = parser.add_argument
    add("--guest", type=existing)
    add("--initrd", type=existing)
    add("--cmdline", default="")
    add("--vcpus", type=positive)
    add("--memory", type=byte_size)
    add("--debug-exit", type=port)
    add("--config", type=existing)
    add("--module", type=module, action="append", default=[])
    add("--api-port", type=tcp_port)
    add("--smp", type=positive, default=2)
    add("--mem", type=byte_size, default="1G")
    add("--firmware", choices=("bios", "uefi"), default="bios")
    add("--boot", choices=("cd", "usb", "pxe"), default="cd")
    add("--headless", action="store_true")
    add("--timeout", type=seconds)
    add("--log")
    add("--emulator", choices=("qemu", "bochs"), default="qemu")
    add("--cpu")
    add("--icount", action="store_true")
    add("--hilum-cmdline", default="")
    add("--gdb", action="store_true")
    add("--monitor")
    add("--reset-state", action="store_true")
    for flag in ("--print", "--no-build", "--check"):
        add(flag, action="store_true")
    # The image's kernel and service VMs: for tests of this program itself.
    for option in ("--kernel-elf", "--control-elf", "--driver-elf"):
        add(option, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.initrd and not options.guest:
        parser.error("--initrd needs --guest")
    if options.config and (options.guest or options.cmdline or options.vcpus or options.memory
                           or options.debug_exit is not None):
        parser.error("--config says what runs; it excludes --guest, --cmdline, --vcpus, --memory and --debug-exit")
    if options.emulator == "bochs":
        for name, wanted in (("--firmware", options.firmware != "bios"), ("--boot", options.boot != "cd"),
                             ("--icount", options.icount), ("--gdb", options.gdb), ("--monitor", options.monitor),
                              ("--reset-state", options.reset_state), ("--api-port", options.api_port)):
            if wanted:
                parser.error(f"{name} is QEMU's; Bochs starts a CD by its BIOS, and counts instructions always")
        try:
            bochs.mebibytes(options.mem)
        except machine.Failure as failure:
            parser.error(str(failure))
    return options


def check_config(path):
    """What is wrong with it is told here, where it does not scroll by."""
    hilum = os.path.join(machine.BUILD, "hilum")
    if os.path.exists(hilum) and subprocess.run([hilum, "check", path], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise machine.Failure(f"{path} has errors")


def configuration(options, scratch):
    """(hilum.toml file, modules) for the options."""
    modules = dict(options.module)
    if options.config:
        check_config(options.config)
        return options.config, guestconfig.modules_of(options.config, modules)
    if options.guest:
        modules["guest"] = options.guest
        if options.initrd:
            modules["initrd"] = options.initrd
        table = guestconfig.vm_table("guest", "guest", initrd="initrd" if options.initrd else None, cmdline=options.cmdline,
                                     memory=options.memory or "256M", vcpus=options.vcpus or 1, debug_exit=options.debug_exit)
    else:
        modules = {**guestconfig.DEFAULT_GUEST, **modules}
        words = options.cmdline
        if options.debug_exit is not None:
            words += f" hilum.debug_exit={options.debug_exit:#x}"
        if not options.headless and sys.stdin.isatty():
            words += " " + guestconfig.terminal_words()
        table = guestconfig.linux_table(options.vcpus or 2, options.memory or "256M", words.strip(),
                                        debug_exit=options.debug_exit)
    if options.emulator == "qemu":
        table += guestconfig.devices_text() + guestconfig.api_text()
    path = os.path.join(scratch, "hilum.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(guestconfig.config_text(table))
    return path, modules


class Guide:
    """Tells the user how to reach the API once the machine has said that it is there. The first token, which the machine says only once,
    is kept beside the state that it belongs to."""

    LINE = re.compile(r"hilum: api: (first token [^\r\n]*?(?P<token>hilum_[A-Za-z0-9_-]{43})|certificate (?P<print>sha256:[0-9A-F:]{95}))")

    def __init__(self, port, token_file):
        self.url = f"https://127.0.0.1:{port}"
        self.token_file = token_file
        self.partial, self.token = "", None

    def __call__(self, data):
        lines = (self.partial + data.decode("utf-8", "replace")).split("\n")
        self.partial = lines.pop()[-4096:]
        notes = []
        for found in filter(None, map(self.LINE.search, lines)):
            if found["token"]:
                self.keep(found["token"])
            else:
                notes += self.notes(found["print"])
        return notes

    def keep(self, token):
        self.token = token
        with open(os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(token + "\n")

    def notes(self, fingerprint):
        if self.token is None and os.path.exists(self.token_file):
            with open(self.token_file, encoding="ascii") as file:
                self.token = file.read().strip()
        token = self.token or "(the one of this state's first start)"
        return [f"run: web console and API: {self.url}/", f"run:   certificate {fingerprint}", f"run:   first token {token}",
                f"run: in another terminal: export HILUM_HOST={self.url} HILUM_TOKEN={token}" if self.token else
                f"run: in another terminal: export HILUM_HOST={self.url} HILUM_TOKEN=...",
                "run:   build/hilum list; build/hilum dominfo linux; build/hilum console linux; build/hilum --help"]


def main():
    options = parse(sys.argv[1:])
    if options.check:
        return 0
    with machine.Scratch() as scratch:
        config, modules = configuration(options, scratch)
        pxe = options.boot == "pxe"
        image = os.path.join(scratch, "pxe" if pxe else "hilum.iso")
        machine.make_image(image, config, modules, pxe, options.hilum_cmdline, options.kernel_elf, options.control_elf,
                           options.driver_elf)
        interactive = not options.headless and sys.stdin.isatty()
        if options.emulator == "bochs":
            hardware = {"smp": options.smp, "memory": options.mem, "cpu": options.cpu or bochs.DEFAULT_CPU, "paced": interactive}
            described = bochs.configuration(image, scratch, bochs.program(), 0, **hardware)
            start = functools.partial(bochs.start, image, scratch, **hardware)
            guide = None
        else:
            disk, state, _lock = machine.scratch_disks(scratch, options.reset_state)  # locked until this program ends
            api_port = machine.free_port(options.api_port or 8443)
            if options.api_port not in (None, api_port):
                raise machine.Failure(f"port {options.api_port} of this computer is in use: another --api-port is wanted")
            guide = Guide(api_port, os.path.join(os.path.dirname(state), "state.token"))
            command = machine.qemu_command(image, scratch, boot=options.boot, firmware=options.firmware, smp=options.smp,
                                           memory=options.mem, cpu=options.cpu or "max", counted=options.icount,
                                           gdb=options.gdb, monitor=options.monitor,
                                           extra=machine.plain_devices(disk, state, api_port))
            described = shlex.join(command)
            start = functools.partial(machine.start_qemu, command)
        if options.print:
            print(described)
            return 0
        if interactive:
            print("run: Ctrl-] ends the run; every other key goes to the machine", file=sys.stderr, flush=True)
        log = open(options.log, "wb") if options.log else None
        status, sentence = terminal.Session(start, interactive=not options.headless, timeout_s=options.timeout,
                                            log=log, watch=guide).run()
        if sentence:
            print(f"run: {sentence}", file=sys.stderr)
        return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (machine.Failure, OSError) as error:
        known = isinstance(error, OSError) and error.filename and error.strerror
        print(f"run: {error.filename}: {error.strerror}" if known else f"run: {error}", file=sys.stderr)
        sys.exit(machine.EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(machine.EXIT_INTERRUPTED)
