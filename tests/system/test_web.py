"""HTTPS of the control VM: certificate, versions, floods, slow clients, and the driver VM's end beneath open connections."""
import contextlib
import hashlib
import json
import os
import random
import re
import select
import socket
import ssl
import struct
import time

from harness import Failed, Machine, equal, guestconfig, linux, machine, patience, quick, true
from test_restart import CRASH, PORT, kill, settings
from test_virtio import Files, guest

START_S = 120
ANSWER_S = 60  # for one request, on a machine that does other things too
FLOOD = 500


def context(**limits):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    for name, value in limits.items():
        setattr(made, name, value)
    return made


def connect(m, made=None, within_s=ANSWER_S):
    raw = socket.create_connection(("127.0.0.1", m.api_port), within_s)
    try:
        return (made or context()).wrap_socket(raw)
    except BaseException:
        raw.close()
        raise


def ask(tls, path="/healthz", headers=""):
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: hilum\r\n{headers}\r\n".encode())


def read_answer(tls):
    """(status, headers, body) of an answer that has a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = tls.recv(65536)
        if not more:
            raise Failed(f"the connection ended after {data!r}")
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        more = tls.recv(65536)
        if not more:
            raise Failed(f"the body ended after {len(body)} of {length} bytes")
        body += more
    return int(head.split()[1]), head.decode(), body


def healthy(m, what):
    with connect(m) as tls:
        ask(tls)
        status, _, body = read_answer(tls)
    equal(status, 200, f"status {what}")
    equal(body.strip(), b"ok", f"body {what}")


def started(m):
    """Waits until HTTPS is there; returns the certificate's fingerprint as the log shows it."""
    return m.expect(r"api: certificate sha256:([0-9A-F:]{95})", START_S).group(1)


@quick
def test_answers():
    """HTTPS answers while the guest is still booting; certificate and versions are what the documents say."""
    with Machine(linux(), api=True) as m:
        shown = started(m).replace(":", "").lower()
        with connect(m) as tls:
            der = tls.getpeercert(binary_form=True)
            equal(hashlib.sha256(der).hexdigest(), shown, "fingerprint")
            equal(tls.version(), "TLSv1.2")
            equal(tls.cipher()[0], "ECDHE-ECDSA-CHACHA20-POLY1305")
            true(b"hilum.local" in der and bytes((10, 0, 2, 20)) in der, "the certificate lacks a name or an address")
            for _ in range(3):  # on one connection
                ask(tls)
                equal(read_answer(tls)[0], 200)
        again = context()
        with connect(m, again) as tls:
            session = tls.session
        raw = socket.create_connection(("127.0.0.1", m.api_port), ANSWER_S)
        with again.wrap_socket(raw, session=session) as tls:
            true(tls.session_reused, "a session that was just made is not taken up again")
            ask(tls)
            equal(read_answer(tls)[0], 200)
        old = context()
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with contextlib.suppress(ssl.SSLError, OSError):
            connect(m, old).close()
            raise Failed("TLS 1.1 was accepted")
        aes = context()
        aes.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with connect(m, aes) as tls:
            equal(tls.cipher()[0], "ECDHE-ECDSA-AES128-GCM-SHA256")
            ask(tls)
            equal(read_answer(tls)[0], 200)
        healthy(m, "in the end")
        m.prompt()


def test_trusted_certificate():
    """A client that was given the certificate accepts it for the machine's name, and no other."""
    with Machine(linux(), api=True) as m:
        started(m)
        with connect(m) as tls:
            pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
        for name, good in (("hilum.local", True), ("10.0.2.20", True), ("example.org", False)):
            strict = ssl.create_default_context(cadata=pem)
            raw = socket.create_connection(("127.0.0.1", m.api_port), ANSWER_S)
            try:
                strict.wrap_socket(raw, server_hostname=name).close()
                true(good, f"the certificate was good for {name}")
            except ssl.SSLCertVerificationError as error:
                true(not good, f"the certificate is not good for {name}: {error}")
            finally:
                raw.close()


def test_token_is_not_in_the_log():
    """The first token is for who stands at the machine: whoever may read the log does not find it there."""
    with Machine(linux(), api=True) as m:
        token = m.token()
        with connect(m) as tls:
            ask(tls, "/api/v1/host", f"Authorization: Bearer {token}\r\n")
            status, _, body = read_answer(tls)
            equal(status, 200)
            true(b'"state_kept":false' in body, f"no figures in {body!r}")
        with connect(m) as tls:
            ask(tls, "/api/v1/log", f"Authorization: Bearer {token}\r\nConnection: close\r\n")
            log = b"".join(iter(lambda: tls.recv(65536), b""))
        true(b"api: certificate" in log, f"the log lacks its lines: {log!r}")
        true(token[6:].encode() not in log, "the log has the token")


def host(m, token):
    """What GET /host says."""
    with connect(m) as tls:
        ask(tls, "/api/v1/host", f"Authorization: Bearer {token}\r\n")
        status, _, body = read_answer(tls)
    equal(status, 200, "status of /host")
    return json.loads(body)


def test_kept():
    """Certificate and token are the same after a restart of the machine; how it ended is told."""
    with Files() as files:
        image = machine.state_image(os.path.join(files.name, "state.img"))
        disk = ("-drive", f"file={image},if=none,id=state,format=raw",
                "-device", f"virtio-blk-pci,drive=state,serial={machine.STATE_SERIAL},{machine.BEHIND_IOMMU}")
        with Machine(linux(), api=True, extra=disk) as m:
            token = m.token()
            first = host(m, token)
            m.prompt()
            m.send("poweroff\n")
            m.finish(ANSWER_S)
        equal(first["boot_reason"], "power-on")
        for reason in ("power-on", "recovery"):
            with Machine(linux(), api=True, extra=disk) as m:
                started(m)
                true("first token" not in m.text, "a token is made although there is one")
                again = host(m, token)
                m.prompt()  # so long takes the disk at most to have what was changed at the start
                equal((again["fingerprint"], again["boot_reason"], again["state_kept"]), (first["fingerprint"], reason, True))


def test_garbage():
    """What is no TLS ends the connection and nothing else."""
    with Machine(linux(), api=True) as m:
        started(m)
        for data in (b"GET / HTTP/1.0\r\n\r\n", bytes(4096), b"\x16\x03\x01\xff\xff" + bytes(65536), b"\x16\x03\x03\x00\x00" * 2000,
                     b"\x15\x03\x03\x00\x02\x02\x28"):
            with socket.create_connection(("127.0.0.1", m.api_port), ANSWER_S) as raw, contextlib.suppress(OSError):
                raw.sendall(data)
                while raw.recv(65536):
                    pass
        with connect(m) as tls:  # a good handshake, then a record that does not authenticate
            raw = socket.socket(fileno=tls.detach())
            with raw, contextlib.suppress(OSError):
                raw.sendall(b"\x17\x03\x03\x00\x30" + bytes(48))
                raw.settimeout(ANSWER_S)
                while raw.recv(65536):
                    pass
        healthy(m, "after all that")


class Wire:
    """The other end of the machine's network cable: Ethernet frames as datagrams."""

    MAC, IP = bytes.fromhex("020000000001"), bytes((10, 0, 2, 2))

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.machine_port = probe.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def devices(self):
        ends = (f"local.type=inet,local.host=127.0.0.1,local.port={self.machine_port},"
                f"remote.type=inet,remote.host=127.0.0.1,remote.port={self.socket.getsockname()[1]}")
        return (*machine.IOMMU, "-netdev", f"dgram,id=wire,{ends}", "-device", f"virtio-net-pci,netdev=wire,{machine.BEHIND_IOMMU}")

    def send(self, to, kind, payload):
        self.socket.sendto((to + self.MAC + kind + payload).ljust(60, b"\0"), ("127.0.0.1", self.machine_port))

    def multicast(self, payload):
        """To mDNS, from its port."""
        udp = struct.pack(">HHHH", 5353, 5353, 8 + len(payload), 0) + payload
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 255, 17, 0, self.IP, bytes((224, 0, 0, 251)))
        total = sum(struct.unpack(">10H", header))
        total = (total & 0xFFFF) + (total >> 16)
        header = header[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
        self.send(bytes.fromhex("01005e0000fb"), b"\x08\x00", header + udp)

    def expect(self, ask, wanted):
        """Asks again and again until a frame comes for which wanted() is true."""
        deadline = patience.now() + ANSWER_S
        while patience.now() < deadline:
            ask()
            until = time.monotonic() + 1
            while select.select([self.socket], [], [], max(0, until - time.monotonic()))[0]:
                if wanted(self.socket.recv(2048)):
                    return
        raise Failed("no answer on the wire")


def test_wire():
    """By ARP and mDNS the machine tells its address to whoever asks; frames with nonsense in them change nothing."""
    with Wire() as wire, Machine(linux() + guestconfig.api_text(), extra=wire.devices()) as m:
        started(m)
        address = bytes((10, 0, 2, 20))
        arp = bytes.fromhex("0001080006040001") + wire.MAC + wire.IP + bytes(6) + address
        question = bytes((0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\5hilum\5local\0\0\1\0\1"

        def tells(frame):
            return frame[12:14] == b"\x08\x00" and frame[34:38] == b"\x14\xe9\x14\xe9" and b"\5hilum" in frame and address in frame[42:]

        def asked_and_answered():
            wire.expect(lambda: wire.send(b"\xff" * 6, b"\x08\x06", arp),
                        lambda frame: frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and frame[28:32] == address)
            wire.expect(lambda: wire.multicast(question), tells)

        asked_and_answered()
        rng = random.Random(11)
        for round_ in range(400):
            noise = rng.randbytes(rng.randrange(1, 600))
            if round_ % 2:
                wire.multicast(bytes((0, 0, 0, 0, 0, 3, 0, 3, 0, 1, 0, 0)) + bytes((0xC0, rng.randrange(64))) + noise)
            else:
                wire.send(b"\xff" * 6, rng.choice((b"\x08\x00", b"\x86\xdd", b"\x08\x06")), rng.choice((b"\x45\0", b"\x60\0", b"")) + noise)
        asked_and_answered()
        m.prompt()
        equal(m.shell("echo still here"), "still here")


def idle_connections(m, count, shake_hands):
    """As many connections as the machine and this host let there be; what is refused does not matter."""
    held = []
    for _ in range(count):
        time.sleep(0.02)  # QEMU takes one at a time; the next one's first packet would be lost, and sent again a second later
        with contextlib.suppress(OSError):
            held.append(connect(m) if shake_hands else socket.create_connection(("127.0.0.1", m.api_port), ANSWER_S))
    return held


def trickle(held):
    """A byte of a request's head on each connection that still takes one."""
    for connection in held:
        with contextlib.suppress(OSError, ValueError):
            connection.settimeout(0.05)
            connection.send(b"X")


def test_flood():
    """500 idle connections and a slow-loris client do not stop an operator's request, or the guest."""
    with Machine(linux(), api=True) as m:
        started(m)
        m.prompt()
        held = idle_connections(m, FLOOD, shake_hands=False)
        try:
            healthy(m, "among 500 silent connections")
            loris = idle_connections(m, 60, shake_hands=True)
            held += loris
            for _ in range(5):
                trickle(loris)
                healthy(m, "beside a slow-loris client")
            equal(m.shell("echo still here"), "still here")
        finally:
            for connection in held:
                connection.close()
        healthy(m, "after the flood")


def test_silent_client_is_dropped():
    """A connection on which nothing comes does not stay."""
    with Machine(linux(), api=True) as m:
        started(m)
        with socket.create_connection(("127.0.0.1", m.api_port), ANSWER_S) as raw:
            began = time.monotonic()
            raw.settimeout(180)
            with contextlib.suppress(ConnectionResetError):
                equal(raw.recv(1), b"", "what came")
            true(time.monotonic() - began > 5, "the client had no time to say anything")
        healthy(m, "afterwards")


def test_driver_vm_restart():
    """Connections outlive the driver VM: an open one is used again after its end."""
    text = settings(guestconfig.config_text(guest(debug_crash=PORT)), driver_restarts=100)
    with Machine(text, api=True) as m:
        started(m)
        m.prompt()
        with connect(m) as tls:
            ask(tls)
            equal(read_answer(tls)[0], 200)
            kill(m, CRASH)
            ask(tls)
            equal(read_answer(tls)[0], 200, "status on the old connection")
        healthy(m, "on a new connection")
