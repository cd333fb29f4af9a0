"""Guests behind the driver VM's address translation: leases, names, transfers, and what must not pass. Outside stands QEMU's user
network, or a network of our own that sees each frame."""
import hashlib
import os
import socket
import struct
import threading
import time

from harness import BOOT_S, Machine, Web, each, equal, guestconfig, long, long_cases, machine, true
from test_devices import AMD, INTEL
from test_restart import ASK, CRASH, PORT, kill, settings
from test_virtio import MIB, Files, guest, table

CARD = "virtio-net-pci,netdev=n0,mac=52:54:00:aa:bb:01,addr=07.0," + machine.BEHIND_IOMMU
ADDRESS = "ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'"


def fetch(m, url):
    return m.shell(f"wget -q -O /tmp/f {url} && md5sum /tmp/f | cut -d' ' -f1", within_s=90)


def pings(m, address, count=3):
    return m.shell(f"ping -c {count} -W 5 {address} | grep -c 'bytes from'", within_s=60)


def show(m, name):
    """Ctrl-A three times, until the guest of that name is on show."""
    for _ in range(4):
        m.send("\x01\x01\x01")
        if m.expect(r'showing (VM "(\w+)"|Hilum\'s log)').group(2) == name:
            m.settle()  # it is shown again what it had been shown before
            m.seen = len(m.text)
            m.send("\n")
            m.prompt()
            return


def test_two_guests_fetch_by_tcp_and_udp():
    """Without a network plan. Both have leases, one the address that is its own; neither can use the other's."""
    with Files() as files, Web(os.urandom(3 * MIB)) as web:
        served = os.urandom(200000)
        files.make("served", served)
        text = guestconfig.config_text(guest("one", table("nic"), vcpus=2), guest("two", table("nic", ip=["10.0.100.50"])))
        with Machine(text, extra=(*INTEL, "-netdev", f"user,id=n0,tftp={files.name}", "-device", CARD)) as m:
            m.expect(r"hilum: nat: guests with 10\.0\.100\.0/24 reach the outside by uplink 52:54:00:aa:bb:01 as 10\.0\.2\.15", BOOT_S)
            m.expect("hilum: vm two: .* in the kernel", BOOT_S)
            show(m, "two")
            equal(m.shell(ADDRESS), "10.0.100.50", "the configured address")
            m.shell(f"(while true; do wget -q -O - {web.url} | md5sum; done) >/tmp/sums 2>&1 & true")
            show(m, "one")
            own = m.shell(ADDRESS)
            true(own.startswith("10.0.100.") and own != "10.0.100.50", f"leased address {own}")
            equal(pings(m, "10.0.100.1"), "3", "answers of the gateway")
            equal(pings(m, "10.0.2.2"), "3", "answers of the host")
            equal(fetch(m, web.url), web.sum, "file by TCP")
            equal(m.shell("tftp -g -r served -l /tmp/u 10.0.2.2 && md5sum /tmp/u | cut -d' ' -f1", within_s=90),
                  hashlib.md5(served).hexdigest(), "file by UDP")
            m.shell("ip addr add 10.0.100.50/24 dev eth0")
            equal(m.shell("ping -c 2 -W 2 -I 10.0.100.50 10.0.2.2 | grep -c 'bytes from' || true"), "0", "answers to another's address")
            equal(pings(m, "10.0.2.2"), "3", "answers to its own")
            show(m, "two")
            equal(m.shell("while [ ! -s /tmp/sums ]; do sleep 1; done; cut -d' ' -f1 /tmp/sums | sort -u", within_s=90), web.sum, "the other guest's files")
            true("accesses stopped" not in m.text and "given up" not in m.text, "complaints about the card")


@each(vtd=(INTEL,), amdvi=(AMD,))
@long_cases("vtd")
def test_uplink_with_an_address_of_its_own(iommu):
    """No DHCP outside; another subnet inside, on a VLAN."""
    plan = ("\n[[nic]]\ndevice = '00:07.0'\nmode = 'nat'\nvlan = 5\nsubnet = '192.168.77.0/28'\nip = '10.0.2.99/24'\ngateway = '10.0.2.2'\n"
            "dns = '10.0.2.3'\n")
    with Web(os.urandom(MIB)) as web:
        text = guestconfig.config_text(guest(devices=table("nic", vlan=5))) + plan
        with Machine(text, extra=(*iommu, "-netdev", "user,id=n0", "-device", CARD)) as m:
            m.expect(r"hilum: nat: guests with 192\.168\.77\.0/28 reach the outside by uplink 52:54:00:aa:bb:01 as 10\.0\.2\.99", BOOT_S)
            m.prompt()
            true(m.shell(ADDRESS).startswith("192.168.77."), "leased address")
            equal(fetch(m, web.url), web.sum, "the file")


def test_machine_without_a_card_says_so_once():
    with Machine(guestconfig.config_text(guest(devices=table("nic"))), extra=INTEL) as m:
        m.expect("hilum: uplink 'any': no network card works: guests reach each other only", BOOT_S)
        m.prompt()
        equal(m.text.count("no network card works"), 1, "lines about it")


def test_download_while_the_driver_vm_is_replaced():
    """The guest only listens: whoever sends outside finds the way in again."""
    with Web(os.urandom(6 * MIB), pause_s=0.1) as web:
        text = settings(guestconfig.config_text(guest(devices=table("nic"), vcpus=2, debug_crash=PORT)), driver_restarts=100)
        with Machine(text, extra=(*INTEL, "-netdev", "user,id=n0", "-device", CARD)) as m:
            m.prompt()
            m.shell(f"wget -q -O /tmp/f {web.url} & true")
            for how in (CRASH, ASK, CRASH):
                kill(m, how)
                time.sleep(0.5)
            equal(m.shell("wait; md5sum /tmp/f | cut -d' ' -f1", within_s=240), web.sum, "the file in the guest")


class Lan(threading.Thread):
    """A network at the other end of a card's cable: 192.0.2.0/24 with a router, a DHCP server, a name server and the world behind, all at
    one Ethernet address. Frames come and go as datagrams of Unix sockets."""

    MAC, CARD = bytes.fromhex("020000000001"), bytes.fromhex("525400aabb01")
    LEASED, ROUTER, DNS, WORLD = "192.0.2.10", "192.0.2.1", "192.0.2.53", "198.51.100.7"

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.here, self.there = os.path.join(folder, "lan"), os.path.join(folder, "card")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.here)
        self.leases = False
        self.sources = set()  # (Ethernet address, IPv4 address) of all that came
        self.asked = []
        self.start()

    def arguments(self):
        return ("-netdev", f"dgram,id=n0,local.type=unix,local.path={self.there},remote.type=unix,remote.path={self.here}", "-device", CARD)

    def run(self):
        while True:
            frame = self.socket.recv(65536)
            kind = frame[12:14]
            if kind == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] != socket.inet_aton(self.LEASED):
                self.send_frame(b"\x08\x06", frame[14:20] + b"\0\2" + self.MAC + frame[38:42] + frame[22:32])
            elif kind == b"\x08\x00":
                self.sources.add((frame[6:12], socket.inet_ntoa(frame[26:30])))
                self.packet(frame[14:14 + struct.unpack("!H", frame[16:18])[0]])

    def packet(self, ip):
        source, target, body = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20]), ip[20:]
        if ip[9] == 1 and body[0] == 8:
            body = b"\0\0\0\0" + body[4:]
            self.send_ip(1, target, source, body[:2] + self.csum(body) + body[4:])
        if ip[9] != 17:
            return
        source_port, target_port = struct.unpack("!HH", body[:4])
        if target_port == 67 and self.leases:
            self.lease(body[8:])
        elif target_port == 53 and target == self.DNS:
            self.name(source, source_port, body[8:])

    def lease(self, ask):
        kind = {b"\x01": 2, b"\x03": 5}.get(ask[ask.index(b"\x35\x01") + 2:][:1])
        if kind is None:
            return
        options = (bytes([53, 1, kind]) + b"\x36\x04" + socket.inet_aton(self.ROUTER) + b"\x33\x04" + struct.pack("!I", 3600)
                   + b"\x01\x04" + bytes([255, 255, 255, 0]) + b"\x03\x04" + socket.inet_aton(self.ROUTER)
                   + b"\x06\x04" + socket.inet_aton(self.DNS) + b"\xff")
        answer = (b"\x02" + ask[1:12] + bytes(4) + socket.inet_aton(self.LEASED) + ask[20:28] + ask[28:44] + bytes(192) + ask[236:240] + options)
        self.send_udp(self.ROUTER, 67, self.LEASED, 68, answer)

    def name(self, source, port, ask):
        """Whatever is asked for is at WORLD, if an IPv4 address is wanted."""
        question = ask[12:ask.index(b"\0", 12) + 5]
        self.asked.append(question)
        is_a = question[-4:-2] == b"\0\1"
        record = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 60, 4) + socket.inet_aton(self.WORLD) if is_a else b""
        self.send_udp(self.DNS, 53, source, port, ask[:2] + b"\x81\x80\0\1" + struct.pack("!H", is_a) + bytes(4) + question + record)

    @staticmethod
    def csum(data):
        total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
        total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)

    def send_frame(self, kind, data):
        try:
            self.socket.sendto((self.CARD + self.MAC + kind + data).ljust(60, b"\0"), self.there)
        except OSError:
            pass  # the machine is off, or takes no more

    def send_ip(self, protocol, source, target, body):
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0) + socket.inet_aton(source) + socket.inet_aton(target)
        self.send_frame(b"\x08\x00", head[:10] + self.csum(head) + head[12:] + body)

    def send_udp(self, source, source_port, target, target_port, data):
        self.send_ip(17, source, target, struct.pack("!HHHH", source_port, target_port, 8 + len(data), 0) + data)

    def hostile(self):
        """What nobody has asked for: to the uplink's address, to guests' own, broken, and of other protocols."""
        tcp = struct.pack("!HHIIBBHHH", 80, 40000, 1, 0, 0x50, 2, 1000, 0, 0)
        for i in range(300):
            for target in (self.LEASED, "10.0.100.1", f"10.0.100.{i % 254 + 1}", "255.255.255.255"):
                self.send_udp(self.WORLD, 1000 + i, target, 30000 + i, b"x" * i)
                self.send_ip(6, self.WORLD, target, tcp)
                self.send_ip(1, self.ROUTER, target, b"\3\3\0\0\0\0\0\0" + os.urandom(i % 60))
            self.send_frame(b"\x08\x00", os.urandom(i))
            self.send_frame(b"\x08\x06", b"\0\1\x08\0\6\4\0\2" + os.urandom(20))
            time.sleep(0.002)


@long
def test_network_that_sees_each_frame():
    """A lease that comes late, names by way of the gateway, and nothing inside that was not asked for."""
    with Files() as files:
        lan = Lan(files.name)
        text = guestconfig.config_text(guest(devices=table("nic"))) + "\n[api]\nenabled = false\n"  # whose card is on that network, too
        with Machine(text, extra=(*INTEL, *lan.arguments())) as m:
            m.expect("hilum: nat: no DHCP server at uplink 52:54:00:aa:bb:01 has given an address yet; is its cable in\\?", BOOT_S)
            m.send("\n")
            m.prompt()
            true(m.shell(ADDRESS).startswith("10.0.100."), "a lease without an uplink")
            true("unreachable" in m.shell(f"wget -q -O - http://{lan.WORLD}/ 2>&1 || true", within_s=60), "no way out, and the guest told")
            lan.leases = True
            m.expect(rf"hilum: nat: guests .* reach the outside by uplink .* as {lan.LEASED}", BOOT_S)
            m.send("\n")
            m.prompt()
            true(lan.WORLD in m.shell("nslookup hilum.test", within_s=60), "the address of hilum.test")
            true(any(b"\x05hilum\x04test" in name for name in lan.asked), "the question at the name server")
            equal(pings(m, "hilum.test"), "3", "answers of the world")
            true("10.0.100.1" in m.shell(f"traceroute -n -m 1 -q 1 {lan.WORLD}", within_s=60), "the gateway as the first hop")
            received = "cat /sys/class/net/eth0/statistics/rx_packets"
            before = int(m.shell(received))
            lan.hostile()
            true(int(m.shell(received)) - before < 10, "packets that nobody asked for")
            equal(pings(m, lan.WORLD), "3", "answers of the world after that")
            equal({source for source in lan.sources if source[1] not in ("0.0.0.0", lan.LEASED)}, set(), "guests' addresses outside")
            equal({mac for mac, _ in lan.sources}, {lan.CARD}, "Ethernet addresses outside")
