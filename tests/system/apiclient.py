"""A client of the HTTPS API for tests: requests, and WebSockets (RFC 6455). No certificate is checked but that of test_web.py."""
import base64
import http.client
import json
import os
import re
import ssl
import struct
import time

from harness import Failed, equal, patience

START_S = 120
ANSWER_S = 90  # of one request, on a machine that does other things too
TOKEN = r"hilum_[A-Za-z0-9_-]{43}"

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class Socket:
    """One WebSocket: `text` is what has come, whatever the frames."""

    def __init__(self, api, path):
        self.connection = api.connect()
        self.connection.connect()
        self.stream = self.connection.sock
        self.data = b""
        self.text = b""
        self.closed = False
        self.stream.sendall((f"GET {path} HTTP/1.1\r\nHost: hilum\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nAuthorization: Bearer {api.token}\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.data:
            self.receive()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        equal(head.split()[1], b"101", f"answer to the upgrade of {path}")

    def receive(self):
        more = self.stream.recv(65536)
        if not more:
            raise Failed(f"the connection ended after {self.text[-200:]!r}")
        self.data += more

    def frame(self):
        """The next frame of the server's: (opcode, payload); None: it is not whole yet."""
        if len(self.data) < 2:
            return None
        size, at = self.data[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(self.data) < at:
                return None
            size = int.from_bytes(self.data[2:at], "big")
        if len(self.data) < at + size:
            return None
        found = (self.data[0] & 15, self.data[at:at + size])
        self.data = self.data[at + size:]
        return found

    def read(self, within_s):
        """Takes in what comes within that time, once something has."""
        self.stream.settimeout(within_s)
        try:
            self.receive()
        except TimeoutError:
            return
        while (found := self.frame()) is not None:
            if found[0] in (CONTINUED, TEXT, BINARY):
                self.text += found[1]
            elif found[0] == PING:
                self.send(found[1], PONG)
            elif found[0] == CLOSE:
                self.closed = True

    def send(self, payload, opcode=BINARY):
        mask = os.urandom(4)
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        self.stream.sendall(bytes([0x80 | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def expect(self, pattern, within_s):
        """Waits for the pattern in what has come and not been matched yet."""
        deadline = patience.now() + within_s
        while not (found := re.search(pattern.encode(), self.text)):
            if patience.now() > deadline or self.closed:
                raise Failed(f"no '{pattern}' within {within_s} s, but {self.text[-300:]!r}")
            self.read(1)
        self.text = self.text[found.end():]
        return found

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Api:
    """The API of a machine that was started with api=True and whose first token is in its log."""
    answer_s = ANSWER_S

    def __init__(self, m):
        self.m = m
        self.token = m.expect(TOKEN, START_S).group()

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.m.api_port, timeout=self.answer_s, context=context())

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body) of the answer; a body that is neither bytes nor None is sent as JSON."""
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        elif body is not None:
            sent["Content-Type"] = "application/octet-stream"
        connection = self.connect()
        try:
            connection.request(method, "/api/v1" + path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except OSError as error:
            raise Failed(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def expect(self, status, method, path, body=None, headers=None):
        """The answer's JSON, or its bytes, once its status is right."""
        found, answered, data = self.ask(method, path, body, headers)
        if found != status:
            raise Failed(f"{method} {path}: {found} instead of {status}: {data[:300]!r}")
        return json.loads(data) if "json" in answered.get("Content-Type", "") else data

    def vm(self, name):
        return self.expect(200, "GET", f"/vms/{name}")

    def act(self, name, action, status=202, **body):
        return self.expect(status, "POST", f"/vms/{name}/{action}", body or None)

    def state(self, name, wanted, within_s):
        """Waits for the VM to be in that state."""
        deadline = patience.now() + within_s
        while (found := self.vm(name)["state"]) != wanted:
            if patience.now() > deadline:
                raise Failed(f"VM {name} is {found}, not {wanted}, after {within_s} s")
            time.sleep(0.3)

    def socket(self, path):
        return Socket(self, "/api/v1" + path)

    def console(self, name, tail=None):
        return self.socket(f"/vms/{name}/console" + ("" if tail is None else f"?tail={tail}"))

    def events(self, since=0):
        return self.expect(200, "GET", f"/events?since={since}")["events"]
