"""A plain client of the API for tests: requests over HTTP, and WebSockets as RFC 6455 has them."""
import base64
import hashlib
import http.client
import json
import os
import socket
import struct
import subprocess

LIMIT_S = 60


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body.decode("utf-8"))


class Simulator:
    """The simulator on a free port; `with Simulator(path) as sim`."""

    def __init__(self, path, *options):
        self.command = [path, "--port", "0", *options]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.token = self.process.stdout.readline().strip()
        self.port = int(self.address.rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT_S)
        self.process.stdout.close()

    def ask(self, method, path, body=None, *, token=None, headers=None):
        """`body` is bytes, or what is sent as JSON. `token` "" sends none."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if token != "":
            sent.setdefault("Authorization", "Bearer " + (token or self.token))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def socket(self, path, *, token=None, by_protocol=False):
        return WebSocket(self.port, path, token or self.token, by_protocol)


class WebSocket:
    """An open WebSocket, or `status` of the refusal."""

    def __init__(self, port, path, token, by_protocol):
        key = base64.b64encode(os.urandom(16)).decode()
        who = f"Sec-WebSocket-Protocol: hilum.v1, bearer.{token}" if by_protocol else f"Authorization: Bearer {token}"
        self.link = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.stream = self.link.makefile("rb")
        self.link.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{who}\r\n\r\n").encode())
        self.status = int(self.stream.readline().split()[1])
        self.headers = {}
        for line in iter(self.stream.readline, b"\r\n"):
            name, value = line.decode().rstrip().split(": ", 1)
            self.headers[name.lower()] = value
        if self.status == 101:
            digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            assert self.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
            assert self.headers.get("sec-websocket-protocol") == ("hilum.v1" if by_protocol else None)

    def send(self, payload, opcode=2, *, last=True, masked=True):
        mask = os.urandom(4)
        flag, count = 0x80 * masked, len(payload)
        size = struct.pack("!B", count | flag) if count < 126 else struct.pack("!BH", 126 | flag, count)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
        self.link.sendall(bytes([opcode | 0x80 * last]) + size + (mask if masked else b"") + body)

    def receive(self):
        """(opcode, payload) of the next frame; all that the server sends are whole."""
        first, second = self.stream.read(2)
        assert first & 0x80 and not second & 0x80
        size = second if second < 126 else struct.unpack("!H", self.stream.read(2))[0]
        return first & 15, self.stream.read(size)

    def read_until(self, text):
        seen = b""
        while text not in seen:
            opcode, payload = self.receive()
            if opcode == 8:
                raise AssertionError(f"closed with {payload!r} after {seen!r}")
            if opcode in (1, 2):
                seen += payload
        return seen

    def close(self):
        self.stream.close()
        self.link.close()
