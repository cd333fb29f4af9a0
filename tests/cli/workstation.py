"""What the tests of build/hilum share: certificates, a TLS proxy in front of the simulator, a scripted machine that answers what no honest
one would, and an operator's workstation of its own for each test."""
import base64
import hashlib
import http.server
import os
import re
import select
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import pexpect

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HILUM = os.environ.get("HILUM_PROGRAM") or os.path.join(ROOT, "build", "hilum")
SIMULATOR = os.path.join(ROOT, "build", "hilum-sim")
LIMIT_S = 120  # for one command, on a machine that is busy with others
TOKEN = "hilum_" + "A" * 43


def make_certificate(folder, name, hosts="DNS:localhost,IP:127.0.0.1"):
    """A self-signed certificate and its key, as PEM files; returns the two paths."""
    certificate, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=hilum", "-addext", f"subjectAltName={hosts}", "-keyout", key, "-out", certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


def fingerprint(certificate):
    """As the machine's screen shows it."""
    with open(certificate, encoding="ascii") as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    return "sha256:" + ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())


def server_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


class TlsServer(socketserver.ThreadingTCPServer):
    """Serves at a free port of 127.0.0.1 until it is closed. The handshake is made in the connection's own thread."""
    allow_reuse_address = daemon_threads = True
    block_on_close = False

    def __init__(self, handler, certificate, key):
        self.context = server_context(certificate, key)
        super().__init__(("127.0.0.1", 0), handler)
        self.authority = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def use_certificate(self, certificate, key):
        self.context = server_context(certificate, key)

    def finish_request(self, request, client_address):
        try:
            wrapped = self.context.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError):
            return
        with wrapped:
            self.RequestHandlerClass(wrapped, client_address, self)

    def handle_error(self, request, client_address):
        pass  # clients go away when they like

    def close(self):
        self.shutdown()
        self.server_close()


class Proxy(TlsServer):
    """TLS outside, plain TCP to a port inside."""
    def __init__(self, port, certificate, key):
        self.port = port
        super().__init__(Proxy.Handler, certificate, key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            outside = self.request
            with socket.create_connection(("127.0.0.1", self.server.port)) as inside:
                while True:
                    ready = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
                    for source in ready:
                        data = source.recv(65536)
                        if not data:
                            return
                        (inside if source is outside else outside).sendall(data)


class Machine(TlsServer):
    """Answers by a table: answers["GET /api/v1/vms"] = (status, headers, body), or a function of the handler that returns one or None."""
    def __init__(self, certificate, key):
        self.answers, self.requests = {}, []
        super().__init__(Machine.Handler, certificate, key)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            length = int(self.headers.get("Content-Length", 0))
            self.body = self.rfile.read(length)
            self.server.requests.append((self.command, self.path, self.headers, self.body))
            answer = self.server.answers.get(f"{self.command} {self.path.split('?')[0]}", (404, {}, b"{}"))
            if callable(answer):
                answer = answer(self)
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

        def upgrade(self):
            """Makes it a WebSocket; frames are then for the test to write and read."""
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.wfile.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())

        def send_frame(self, first, data):
            length = len(data)
            size = (bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length) if length < 65536
                    else b"\x7f" + struct.pack(">Q", length))
            self.wfile.write(bytes([first]) + size + data)

        def read_frame(self):
            """(first byte, unmasked data); None at the end."""
            head = self.rfile.read(2)
            if len(head) < 2:
                return None
            length = head[1] & 0x7f
            if length == 126:
                length = struct.unpack(">H", self.rfile.read(2))[0]
            assert head[1] & 0x80, "a client's frames are masked"
            mask = self.rfile.read(4)
            return head[0], bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))


class Simulator:
    """build/hilum-sim with `vms` VMs, of which the first runs; `token` is the first one, which it prints."""
    def __init__(self, folder, vms=2):
        self.log = open(os.path.join(folder, "simulator.log"), "w+", encoding="utf-8", errors="replace")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen([SIMULATOR, "--port", str(self.port), "--vms", str(vms)], stdout=self.log, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + LIMIT_S
        while not (found := re.search(r"hilum_[A-Za-z0-9_-]{43}", self.text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the simulator prints no token:\n" + self.text())
            time.sleep(0.05)
        self.token = found.group(0)

    def text(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Workstation(unittest.TestCase):
    """A home of its own; `run` runs hilum there."""
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hilum-cli-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.certificate = make_certificate(cls.folder, "first")

    def setUp(self):
        self.home = tempfile.mkdtemp(dir=self.folder)
        self.env = {"HOME": self.home, "PATH": os.environ["PATH"], "TERM": "vt100", "LANG": "C.UTF-8", "COLUMNS": "80"}

    def path(self, name, text=None):
        """A file of the home; written if there is a text."""
        path = os.path.join(self.home, name)
        if text is not None:
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def run_hilum(self, *words, stdin=b"", **env):
        return subprocess.run([HILUM, *words], input=stdin, capture_output=True, timeout=LIMIT_S, env={**self.env, **env}, cwd=self.home,
                              check=False)

    def hilum(self, *words, status=0, stdin=b"", **env):
        """Runs it, checks the exit status, returns what it printed on standard output and on standard error."""
        done = self.run_hilum(*words, stdin=stdin, **env)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"hilum {' '.join(words)}: {out}{err}")
        return out, err

    def spawn(self, *words, **env):
        child = pexpect.spawn(HILUM, list(words), env={**self.env, **env}, cwd=self.home, timeout=LIMIT_S, dimensions=(24, 80))
        watch = threading.Timer(LIMIT_S, child.kill, [signal.SIGKILL])  # one that does not end is a failure
        watch.start()
        self.addCleanup(watch.cancel)
        self.addCleanup(child.close, force=True)
        return child

    def trust(self, authority, certificate):
        """Known before the test begins."""
        folder = os.path.join(self.home, ".config", "hilum")
        os.makedirs(folder, exist_ok=True)
        command = f"openssl x509 -in {certificate} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary"
        key = subprocess.run(command, shell=True, check=True, capture_output=True).stdout
        with open(os.path.join(folder, "known_hosts"), "a", encoding="ascii") as file:
            file.write(f"{authority} sha256//{base64.b64encode(key).decode()}\n")
