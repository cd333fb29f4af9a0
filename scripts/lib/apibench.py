"""What operators' requests cost: a TLS handshake in instructions of the control VM, and how long the list of 50 VMs takes to come.

The handshake is counted by Hilum itself (/metrics), in a machine where an instruction is a nanosecond. The list is timed from the first
byte sent to the last received, on one open connection to an emulated machine: a time of this computer, not of Hilum's."""
import http.client
import os
import re
import ssl
import statistics
import threading
import time

import guestconfig
import machine

START_S = 300
VMS = 50
REQUESTS = 100
HANDSHAKES = 5
COUNTED_CPU = "EPYC,+svm,+rdrand"  # HTTPS wants random numbers
TOKEN = re.compile(r"first token .*: (hilum_[A-Za-z0-9_-]{43})")
READY = re.compile(r"hilum: api: certificate sha256:")


class Appliance:
    """Hilum with HTTPS and without VMs, as a context manager; `connect` and `ask` once it is there. modules: name -> file. more: of
    QEMU's arguments."""

    def __init__(self, scratch, modules=None, more=(), **hardware):
        config = os.path.join(scratch, "hilum.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(guestconfig.config_text(on_last_guest_exit="stay") + guestconfig.api_text())
        image = machine.make_image(os.path.join(scratch, "api.iso"), config, modules or {})
        self.port = machine.free_port(8443)
        card = [*machine.IOMMU, "-netdev", machine.user_network(self.port),
                "-device", f"virtio-net-pci,netdev=user,mac={machine.API_CARD},{machine.BEHIND_IOMMU}"]
        self.running = machine.start_qemu(machine.qemu_command(image, scratch, smp=1, extra=[*card, *more], **hardware))
        self.token = None

    def __enter__(self):
        text, deadline = "", time.monotonic() + START_S
        while not (TOKEN.search(text) and READY.search(text)):
            data = self.running.read()
            if not data or time.monotonic() > deadline:
                raise machine.Failure(f"HTTPS does not answer: {text[-800:]}")
            text += data.decode(errors="replace")
        self.token = TOKEN.search(text).group(1)
        threading.Thread(target=self.drain, daemon=True).start()
        return self

    def drain(self):
        """Takes what else comes by the serial line, so that it does not stop."""
        while self.running.read():
            pass

    def __exit__(self, *error):
        self.running.stop()

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=START_S, context=context)

    def ask(self, connection, path, method="GET", body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        try:
            answer = connection.getresponse()
        except http.client.RemoteDisconnected:  # the clock of a counted machine with nothing to do runs: a minute without a request was over
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
        data = answer.read()
        if answer.status not in (200, 201, 202, 204):
            raise machine.Failure(f"{method} {path}: {answer.status}, {data[:200]}")
        return data

    def figure(self, connection, name):
        return float(re.search(rf"^{name} (\S+)$", self.ask(connection, "/metrics").decode(), re.M).group(1))


def handshake(scratch):
    """Instructions of one handshake, on average."""
    with Appliance(scratch, counted=True, cpu=COUNTED_CPU) as appliance:
        last = appliance.connect()
        before = [appliance.figure(last, f"hilum_api_handshake{name}_total") for name in ("s", "_seconds")]
        for _ in range(HANDSHAKES):
            last = appliance.connect()
            after = [appliance.figure(last, f"hilum_api_handshake{name}_total") for name in ("s", "_seconds")]
    return (after[1] - before[1]) * 1e9 / (after[0] - before[0])


def list_of_vms(scratch):
    """Median time of the list of VMS definitions, milliseconds, and its bytes."""
    times = []
    with Appliance(scratch) as appliance:
        connection = appliance.connect()
        for number in range(VMS):
            appliance.ask(connection, f"/api/v1/vms/vm-{number}", "PUT", '{"kernel": "vmlinuz"}')
        for _ in range(REQUESTS):
            start = time.monotonic()
            data = appliance.ask(connection, "/api/v1/vms")
            times.append(time.monotonic() - start)
    return statistics.median(times) * 1e3, len(data)
