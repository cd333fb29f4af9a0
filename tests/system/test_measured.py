"""Measured boot: what a TPM holds after GRUB has loaded Hilum is what scripts/pcrs says of the medium."""
import importlib.machinery
import importlib.util
import os
import socket
import subprocess
import tempfile
import time

from harness import COMMAND_S, START_S, Failed, Machine, equal, guestconfig, machine, true

TEXT = guestconfig.config_text(on_last_guest_exit="stay")
CRB = 0xFED40000  # TCG PC Client Platform TPM Profile, 6.5 CRB Interface
LOCALITY_REQUEST, START, BUFFER = CRB + 0x08, CRB + 0x4C, CRB + 0x80


def load_pcrs():
    path = os.path.join(machine.ROOT, "scripts", "pcrs")
    loader = importlib.machinery.SourceFileLoader("pcrs", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("pcrs", loader))
    loader.exec_module(module)
    return module


class Tpm:
    """swtpm, for a machine of Debian's QEMU, and the registers of its interface by QEMU's test socket: nothing in the machine uses it any more."""

    def __init__(self):
        machine.QEMU_COMMAND[0] = machine.DEBIANS_QEMU  # the one that is built here has no TPM
        self.directory = tempfile.TemporaryDirectory(prefix="hilum-")
        control, self.test = (os.path.join(self.directory.name, name) for name in ("control", "test"))
        self.process = machine.spawn(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.directory.name}", "--ctrl", f"type=unixio,path={control}"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + COMMAND_S
        while not os.path.exists(control):
            if time.monotonic() > deadline:
                raise Failed("swtpm does not start")
            time.sleep(0.1)
        self.extra = ["-chardev", f"socket,id=tpm,path={control}", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0",
                      "-qtest", f"unix:{self.test},server=on,wait=off", "-qtest-log", "/dev/null"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()

    def execute(self, command):
        """One TPM command, and the answer to it."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(COMMAND_S)
            s.connect(self.test)
            lines = s.makefile("rw")

            def ask(text):
                lines.write(text + "\n")
                lines.flush()
                answer = lines.readline().split()
                true(answer and answer[0] == "OK", f"QEMU answers {answer} to {text}")
                return answer[1] if len(answer) > 1 else None

            ask(f"writel {LOCALITY_REQUEST:#x} 1")
            ask(f"write {BUFFER:#x} {len(command)} 0x{command.hex()}")
            ask(f"writel {START:#x} 1")
            deadline = time.monotonic() + COMMAND_S
            while int(ask(f"readl {START:#x}"), 16):
                true(time.monotonic() < deadline, "the TPM does not answer")
            return bytes.fromhex(ask(f"read {BUFFER:#x} 128")[2:])

    def register(self, number):
        """TPM2_PCR_Read of one register, SHA-256."""
        selection = b"\x00\x00\x00\x01\x00\x0b\x03" + (1 << number).to_bytes(3, "little")
        answer = self.execute(b"\x80\x01" + (10 + len(selection)).to_bytes(4, "big") + b"\x00\x00\x01\x7e" + selection)
        equal(answer[6:10], bytes(4), "the TPM's answer to TPM2_PCR_Read")
        return answer[30:62].hex()


def boot(hilum_cmdline="", **image):
    """({register: value} of the TPM, the same from scripts/pcrs) for a medium with that configuration."""
    with Tpm() as tpm, Machine(TEXT, linux=False, firmware="uefi", hilum_cmdline=hilum_cmdline, image=image, extra=tpm.extra) as m:
        m.expect("hilum: no VM was started", 2 * START_S)
        found = {number: tpm.register(number) for number in (4, 8, 9)}
        return found, load_pcrs().registers(os.path.join(m.scratch.name, "image"))


def test_registers_are_those_that_were_computed():
    """And one byte of a module is another value, of the same register in both."""
    with tempfile.TemporaryDirectory(prefix="hilum-") as directory:
        found, computed = boot()
        equal({number: found[number] for number in computed}, computed, "registers")
        true(found[4] not in (bytes(32).hex(), found[8]), "the firmware has measured no GRUB")
        path = os.path.join(directory, "driver.bin")
        with open(os.path.join(machine.BUILD, "driver.bin"), "rb") as file:
            data = bytearray(file.read())
        data[-1] ^= 1  # of its data, which nothing looks at before a device does
        with open(path, "wb") as file:
            file.write(data)
        other, computed = boot(driver=path)
        equal({number: other[number] for number in computed}, computed, "registers with another driver VM")
        equal(other[8], found[8], "register 8")
        true(other[9] != found[9], "register 9 does not tell of another driver VM")


def test_command_line_is_measured():
    found, computed = boot(hilum_cmdline="panic=halt other=word")
    equal({number: found[number] for number in computed}, computed, "registers")
