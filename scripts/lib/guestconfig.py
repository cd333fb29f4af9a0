"""Which hilum.toml and which modules a run needs."""
import os
import shutil
import sys
import tomllib

from machine import API_ADDRESS, DISK_SERIAL, GUEST, Failure

LINUX_CMDLINE = "console=ttyS0 quiet"
DEFAULT_GUEST = {"vmlinuz": os.path.join(GUEST, "vmlinuz"), "initrd": os.path.join(GUEST, "initrd.cpio.gz")}


def quote(text):
    """A TOML basic string."""
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else "\\" + c if c in '"\\' else c for c in text)
    return f'"{escaped}"'


def vm_table(name, kernel, *, initrd=None, cmdline="", memory="256M", vcpus=1, debug_exit=None, **more):
    """One [[vm]] table. more: further keys; strings are quoted, booleans and numbers are not."""
    values = {"name": name, "kernel": kernel, "initrd": initrd, "cmdline": cmdline or None, "memory": memory,
              "vcpus": vcpus, "debug_exit": debug_exit, **more}
    lines = ["[[vm]]"]
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, str):
            value = quote(value)
        elif isinstance(value, bool):
            value = str(value).lower()
        elif key == "debug_exit":
            value = hex(value)
        lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"


def devices_text():
    """The disk and the card of a plain run's guest, on the devices of machine.plain_devices."""
    return f'\n[[vm.disk]]\ndevice = "{DISK_SERIAL}"\n\n[[vm.nic]]\n'


def api_text():
    """The control VM's place in QEMU's network."""
    return f'\n[api]\nip = "{API_ADDRESS}/24"\ngateway = "10.0.2.2"\ndns = "10.0.2.3"\n'


def config_text(*tables, on_last_guest_exit="poweroff"):
    return "\n".join([f'[hilum]\non_last_guest_exit = "{on_last_guest_exit}"\n', *tables])


def terminal_words():
    """Tells the test guest the size and type of the terminal at the other end of its serial line."""
    size = shutil.get_terminal_size((80, 24))
    return f"hilum.tty={size.lines}x{size.columns},{os.environ.get('TERM', 'vt100')}"


def linux_table(vcpus=2, memory="256M", cmdline="", name="linux", **more):
    """The guest of a plain run: Debian's cloud kernel with the initramfs of scripts/fetch-guest."""
    return vm_table(name, "vmlinuz", initrd="initrd", cmdline=f"{LINUX_CMDLINE} {cmdline}".strip(),
                    memory=memory, vcpus=vcpus, **more)


def modules_of(config_file, given):
    """name -> file for every kernel and initrd that the configuration names: as given, else the file of that name beside the
    configuration, else Debian's kernel and initramfs. What is nowhere is told and left out: it may be uploaded to the machine."""
    try:
        with open(config_file, "rb") as file:
            tables = tomllib.load(file).get("vm", [])
        names = [table.get(key) for table in tables for key in ("kernel", "initrd")]
        names += [disk.get("module") for table in tables for disk in table.get("disk", [])]
    except OSError as error:
        raise Failure(f"{config_file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        names = list(DEFAULT_GUEST)  # Hilum reads it more closely than this, and reports what is wrong
    modules = dict(given)
    for name in names:
        if not isinstance(name, str) or name in modules:
            continue
        beside = os.path.join(os.path.dirname(os.path.abspath(config_file)), name)
        if os.path.isfile(beside):
            modules[name] = beside
        elif name in DEFAULT_GUEST:
            modules[name] = DEFAULT_GUEST[name]
        else:
            print(f"run: {config_file} names '{name}', which is neither beside it nor given by --module", file=sys.stderr, flush=True)
    return modules
