"""A small client of QEMU's debugger port (the GDB remote serial protocol): breakpoints, monitor commands, registers and memory, no more."""
import contextlib
import socket
import subprocess
import threading
import time

import machine
from machine import Failure

CONNECT_S = 20
ANSWER_S = 120
PIECE_BYTES = 1024  # of memory at once: QEMU's packets hold less than 4 KiB
RAX, RSI, RSP, RIP = 0, 4, 7, 16  # numbers of registers


class Stub:
    """The machine stands still while connected, unless it is told to run."""

    def __init__(self, path, answer_s=ANSWER_S):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(answer_s)
        self.buffer = b""
        until = time.monotonic() + CONNECT_S
        while True:
            try:
                self.socket.connect(path)
                return
            except OSError as error:
                if time.monotonic() > until:
                    raise Failure(f"QEMU's debugger port does not answer: {error}") from error
                time.sleep(0.05)

    def close(self):
        self.socket.close()

    def send(self, text):
        data = text.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))

    def receive(self):
        """The next packet's content; acknowledgements are skipped."""
        while True:
            start, end = self.buffer.find(b"$"), self.buffer.find(b"#")
            if start >= 0 and 0 <= end <= len(self.buffer) - 3:
                packet = self.buffer[start + 1:end].decode()
                self.buffer = self.buffer[end + 3:]
                self.socket.sendall(b"+")
                return packet
            data = self.socket.recv(4096)
            if not data:
                return None
            self.buffer += data

    def command(self, text):
        """Sends one and fails unless the answer is OK; what a monitor command prints comes before, and why it stood still, and is dropped."""
        self.send(text)
        answer = self.receive()
        while answer is not None and answer.startswith(("O", "T")) and answer != "OK":
            answer = self.receive()
        if answer != "OK":
            raise Failure(f"QEMU's debugger port answers {answer!r} to {text!r}")

    def breakpoint(self, address, wanted=True):
        self.command(f"{'Z' if wanted else 'z'}0,{address:x},1")

    def monitor(self, line):
        self.command("qRcmd," + line.encode().hex())

    def step_over(self, address):
        """One instruction, from a breakpoint: running on would stop there again."""
        self.breakpoint(address, False)
        self.send("s")
        self.receive()
        self.breakpoint(address)

    def answer(self, line):
        """What a monitor command prints."""
        self.send("qRcmd," + line.encode().hex())
        text, packet = "", self.receive()
        while packet not in (None, "OK"):
            if packet.startswith("O"):
                text += bytes.fromhex(packet[1:]).decode(errors="replace")
            elif not packet.startswith("T"):
                raise Failure(f"QEMU's debugger port answers {packet!r} to {line!r}")
            packet = self.receive()
        return text

    def run(self):
        """Lets the machine run to a breakpoint. False: it has ended instead."""
        self.send("c")
        try:
            answer = self.receive()
        except ConnectionError:
            return False
        return answer is not None and answer.startswith("T")

    def ask(self, text):
        """What it answers; why the machine stood still, which may come before, is dropped."""
        self.send(text)
        answer = self.receive()
        while answer is not None and answer.startswith("T"):
            answer = self.receive()
        if answer is None or answer.startswith("E"):
            raise Failure(f"QEMU's debugger port answers {answer!r} to {text!r}")
        return answer

    def register(self, number):
        """One of the registers that `g` hands out, eight bytes each, least byte first."""
        return int.from_bytes(bytes.fromhex(self.ask("g")[number * 16:(number + 1) * 16]), "little")

    def set_registers(self, values):
        """values: by number; all others stay."""
        text = self.ask("g")
        for number, value in values.items():
            text = text[:number * 16] + value.to_bytes(8, "little").hex() + text[(number + 1) * 16:]
        self.command("G" + text)

    def program_counter(self):
        return self.register(RIP)

    def read(self, address, size):
        """Memory, at the addresses that the CPU uses where it stands."""
        data = b""
        while len(data) < size:
            data += bytes.fromhex(self.ask(f"m{address + len(data):x},{min(PIECE_BYTES, size - len(data)):x}"))
        return data

    def write(self, address, data):
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at:at + PIECE_BYTES]
            self.command(f"M{address + at:x},{len(piece):x}:{piece.hex()}")

    def detach(self):
        """The machine runs on by itself."""
        self.command("D")
        self.close()


@contextlib.contextmanager
def machine_at(command, port, output, limit_s, *more):
    """A Stub of the machine of that command line, which stands at its first instruction and ends with the block, or after limit_s. Its
    serial line goes to the file `output`, whose end a failure tells."""
    with open(output, "wb") as serial:
        qemu = machine.spawn([*command, "-S", "-gdb", f"unix:{port},server=on,wait=off", *more], stdin=subprocess.DEVNULL, stdout=serial,
                             stderr=subprocess.DEVNULL)
    watchdog = threading.Timer(limit_s, qemu.kill)
    watchdog.start()
    stub = None
    try:
        stub = Stub(port, limit_s)
        yield stub
    except (OSError, Failure) as error:
        with open(output, encoding="utf-8", errors="replace") as file:
            raise Failure(f"{error}: {file.read()[-1500:]}") from error
    finally:
        watchdog.cancel()
        if stub is not None:
            stub.close()
        qemu.kill()
        qemu.wait()
