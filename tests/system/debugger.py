"""GDB, and the way from it to a VM's stub: the API's WebSocket /vms/NAME/gdb."""
import base64
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import threading

from harness import Failed, patience

ANSWER_S = 60
SILENCE_S = 600  # a guest that goes on says nothing
FRAME_BYTES_MAX = 1 << 20
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10  # RFC 6455, 5.2


class WebSocket:
    """A client's end, as much as the tests need: binary frames, pings, an end. The machine's certificate is its own."""

    def __init__(self, port, path, token):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port), ANSWER_S))
        self.data = b""
        self.lock = threading.Lock()
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall((f"GET {path} HTTP/1.1\r\nHost: hilum\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                             f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                             f"Authorization: Bearer {token}\r\n\r\n").encode())
        self.stream.setblocking(False)
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Failed(f"{path}: {head.decode('utf-8', 'replace')} {self.data.decode('utf-8', 'replace')}")

    def more(self):
        """Reads on. One thread reads and another writes: OpenSSL bears only one at a time, so nobody waits inside it."""
        while True:
            with self.lock:
                try:
                    data = self.stream.recv(65536)
                    break
                except ssl.SSLWantReadError:
                    pass
            if not select.select([self.stream], [], [], SILENCE_S)[0]:
                raise TimeoutError(f"it says nothing for {SILENCE_S} s")
        if not data:
            raise ConnectionError("it was closed")
        self.data += data

    def take(self, count):
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def receive(self):
        """The next piece of data; b"" when the other end has closed."""
        while True:
            first, second = self.take(2)
            length = second & 127
            if length == 126:
                length, = struct.unpack(">H", self.take(2))
            elif length == 127:
                length, = struct.unpack(">Q", self.take(8))
            if length > FRAME_BYTES_MAX:
                raise Failed(f"a frame of {length} bytes")
            content = self.take(length)
            if first & 15 == CLOSE:
                return b""
            if first & 15 == PING:
                self.send(content, PONG)
            elif content and first & 15 != PONG:
                return content

    def send(self, content, kind=BINARY):
        mask = os.urandom(4)
        length = len(content)
        head = struct.pack(">BB", 128 | kind, 128 | length) if length < 126 else struct.pack(">BBH", 128 | kind, 254, length)
        rest = head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
        while rest:
            with self.lock:
                try:
                    rest = rest[self.stream.send(rest):]
                    continue
                except ssl.SSLWantWriteError:
                    pass
            select.select([], [self.stream], [], ANSWER_S)

    def close(self):
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.stream.close()


class Relay:
    """A port of this host's loopback, one connection to which is one to the stub."""

    def __init__(self, connect):
        self.connect = connect
        self.failure = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            here, _ = self.listener.accept()
            self.listener.close()
            there = self.connect()
        except (OSError, Failed) as error:
            self.failure = error
            return
        threading.Thread(target=self.send, args=(here, there), daemon=True).start()
        try:
            while data := there.receive():
                here.sendall(data)
        except OSError:
            pass
        finally:
            here.close()

    @staticmethod
    def send(here, there):
        try:
            while data := here.recv(4096):
                there.send(data)
        except OSError:
            pass
        there.close()


class Gdb:
    """A GDB whose target is a VM, as a context manager: `ask` gives it a line and returns what it printed."""

    def __init__(self, m, name, token):
        self.relay = Relay(lambda: WebSocket(m.api_port, f"/api/v1/vms/{name}/gdb", token))
        self.process = subprocess.Popen(["gdb", "-nx", "-q", "-iex", "set debuginfod enabled off"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.machine = m
        self.text = ""
        self.asked = 0

    def __enter__(self):
        for line in ("set confirm off", "set pagination off", "set width 0", f"set remotetimeout {ANSWER_S}",
                     "set architecture i386:x86-64"):
            self.ask(line)
        answer = self.ask(f"target remote 127.0.0.1:{self.relay.port}")
        if "thread" not in answer.lower() and "0x" not in answer:
            raise Failed(f"gdb does not reach the VM: {answer} {self.relay.failure or ''}")
        return self

    def __exit__(self, kind, error, trace):
        self.process.kill()
        self.process.wait()
        if error is not None:
            print("--- gdb ---", *self.text.splitlines()[-60:], "-----------", sep="\n")

    def begin(self, line):
        """Gives it a line whose answer may take its time; _end waits for it."""
        self.asked += 1
        self.process.stdin.write(f"{line}\necho MARK-{self.asked}\\n\n".encode())

    def end(self, within_s=ANSWER_S):
        """What it printed. The machine's serial line is read meanwhile, lest it fill up."""
        mark = f"MARK-{self.asked}\n"
        deadline = patience.now() + within_s
        os.set_blocking(self.process.stdout.fileno(), False)
        start = len(self.text)
        while mark not in self.text[start:]:
            if patience.now() > deadline:
                raise Failed(f"no answer from gdb within {within_s} s: {self.text[start:]}")
            self.machine.read(0.05)
            data = self.process.stdout.read(65536)
            if data == b"":
                raise Failed(f"gdb ended: {self.text[start:]}")
            self.text += (data or b"").decode("utf-8", "replace")
        answer = self.text[start:self.text.index(mark, start)]
        return re.sub(r"\(gdb\) ", "", answer).strip()

    def ask(self, line, within_s=ANSWER_S):
        self.begin(line)
        return self.end(within_s)

    def value(self, expression):
        """Of an expression, as a number."""
        answer = self.ask(f"printf \"%#lx\\n\", {expression}")
        found = re.search(r"(?:0x)?[0-9a-f]+$", answer)
        if not found:
            raise Failed(f"{expression} is {answer}")
        return int(found.group(), 16)

    def interrupt(self):
        self.process.send_signal(2)
