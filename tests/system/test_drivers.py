"""The driver VM's drivers, on QEMU's devices behind both IOMMUs: a guest's file system on a disk of the machine."""
import hashlib
import http.server
import os
import socket
import subprocess
import tempfile
import threading
import uuid

from harness import BOOT_S, Machine, each, equal, guestconfig, long_cases, quick, true
from test_devices import AMD, INTEL
from test_virtio import MIB, Files, gpt, guest, table, write_sync_verify


def disk(image, device, *options, **properties):
    """Arguments of QEMU for an image behind a storage device. The medium is what was synced: no cache of QEMU's hides a lost flush."""
    words = ",".join([device, "drive=d0"] + [f"{key}={value}" for key, value in properties.items()])
    controller = ("-device", "ich9-ahci,id=ahci,addr=06.0") if "ahci.0" in properties.values() else ()
    return ("-drive", ",".join([f"file={image},if=none,id=d0,format=raw", *options]), *controller, "-device", words)


def debugfs(image, command):
    return subprocess.run(["/usr/sbin/debugfs", "-R", command, image], check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def check_image(image, name, wanted):
    """The file system in the image is whole, and the file has that MD5 sum."""
    subprocess.run(["/usr/sbin/e2fsck", "-fn", image], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    equal(hashlib.md5(debugfs(image, f"cat {name}")).hexdigest(), wanted, "the file on the host")


NVME = ("nvme", "NVMe disk 'HILUM-N1'", {"serial": "HILUM-N1", "addr": "06.0"})


VIRTIO = ("virtio-blk-pci", "virtio disk 'HILUM-V1'", {"serial": "HILUM-V1", "addr": "06.0", "disable-legacy": "on", "iommu_platform": "on"})


AHCI = ("ide-hd", "SATA disk 'HILUM-A1'", {"serial": "HILUM-A1", "bus": "ahci.0"})


def ext4_on(iommu, device, driver_says, properties, name, hilum=""):
    with Files() as files:
        image = files.ext4("disk", 48)
        tables = guest(vcpus=2, devices=table("disk", device=name, serial="GUESTS-OWN"))
        text = guestconfig.config_text(tables).replace("[hilum]\n", "[hilum]\n" + hilum)
        with Machine(text, extra=(*iommu, *disk(image, device, **properties))) as m:
            m.expect(f"hilum: device 00:06.0: {driver_says}, 48 MiB", BOOT_S)
            m.prompt()
            equal(m.shell("cat /sys/block/vda/size"), str(48 * MIB // 512), "sectors")
            equal(m.shell("cat /sys/block/vda/serial"), "GUESTS-OWN", "serial number")
            write_sync_verify(m, "/dev/vda", 8)
            total = m.shell("cut -d' ' -f1 /tmp/sum")
            equal(m.shell("dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)' || true"), "", "complaints")
            m.send("poweroff\n")
            equal(m.finish(), 0, "status")
            true("accesses stopped" not in m.text, "the IOMMU stopped something")
        check_image(image, "a", total)


def test_nvme_with_several_queues():
    """Each queue of the guest's disk goes by a pair of I/O queues of the controller; data written on all CPUs at once are all there."""
    with Files() as files:
        image = files.ext4("disk", 64)
        tables = guest(vcpus=4, devices=table("disk", device="HILUM-N1", num_queues=4))
        extra = (*AMD, *disk(image, "nvme", serial="HILUM-N1", addr="06.0", max_ioqpairs=4))
        with Machine(guestconfig.config_text(tables), extra=extra) as m:
            m.expect("hilum: device 00:06.0: NVMe: 4 pairs of I/O queues", BOOT_S)
            m.prompt()
            equal(m.shell("ls /sys/block/vda/mq | wc -l"), "4", "queues of the guest")
            m.shell("mkdir -p /m; mount -t ext4 /dev/vda /m; for i in 0 1 2 3; do taskset -c $i dd if=/dev/urandom of=/m/$i bs=64k "
                    "count=64 conv=fsync 2>/dev/null & done; wait; md5sum /m/? >/tmp/sums; umount /m; echo 3 >/proc/sys/vm/drop_caches",
                    within_s=120)
            m.shell("mount -t ext4 /dev/vda /m; md5sum -s -c /tmp/sums", within_s=60)
            total = m.shell("cut -d' ' -f1 /tmp/sums | tail -n 1")
            m.shell("umount /m")
            equal(m.shell("dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)' || true"), "", "complaints")
            true("accesses stopped" not in m.text and "given up" not in m.text, "complaints about the disk")
        check_image(image, "3", total)


def nic(kind, *options):
    """Arguments of QEMU for an uplink, netdev n0, at 00:07.0."""
    model = ("virtio-net-pci", "disable-legacy=on", "iommu_platform=on") if kind == "virtio" else (kind,)
    card = ",".join([*model, "id=card", "netdev=n0", "addr=07.0", "mac=52:54:00:AA:bb:01", *options])
    return ("-netdev", "user,id=n0", "-device", card)


def fetch_from_host(iommu, kind, device, *options):
    """A guest reaches QEMU's gateway through an uplink, and fetches a file from the host."""
    data = os.urandom(3 * MIB)
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {
        "do_GET": lambda self: (self.send_response(200), self.send_header("Content-Length", str(len(data))), self.end_headers(),
                                self.wfile.write(data)),
        "log_message": lambda self, *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = guestconfig.config_text(guest(vcpus=2, devices=table("nic"))) + f'\n[[nic]]\ndevice = "{device}"\n'
        with Machine(text, extra=(*iommu, *nic(kind, *options))) as m:
            m.expect(rf"hilum: device 00:07\.0: {kind} network card 52:54:00:aa:bb:01, link up", BOOT_S)
            m.prompt()
            m.shell("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up")
            equal(m.shell("ping -c 3 -W 5 10.0.2.2 | grep -c 'bytes from'", within_s=60), "3", "answers of the gateway")
            m.shell(f"wget -q -O /tmp/f http://10.0.2.2:{server.server_address[1]}/f", within_s=90)
            equal(m.shell("md5sum /tmp/f | cut -d' ' -f1"), hashlib.md5(data).hexdigest(), "the file in the guest")
            true("accesses stopped" not in m.text and "given up" not in m.text, "complaints about the card")
        server.shutdown()


@each(vtd_by_address=(INTEL, "virtio", "00:07.0"), amdvi_by_mac=(AMD, "virtio", "52:54:00:AA:BB:01"),
      not_merged=(INTEL, "virtio", "0000:00:07.0", "mrg_rxbuf=off"),
      e1000e_vtd=(INTEL, "e1000e", "52:54:00:AA:BB:01"), e1000e_amdvi=(AMD, "e1000e", "00:07.0"))
@long_cases("vtd_by_address", "not_merged", "e1000e_amdvi")
def test_network_reaches_the_host(*arguments):
    fetch_from_host(*arguments)


class Tap:
    """An interface of this host's with several queues, as only a tap has; None in its place where this host lets nobody make one."""

    def __enter__(self):
        self.name = f"hilum{os.getpid() % 100000}"
        self.made = self.ip("tuntap", "add", "dev", self.name, "mode", "tap", "multi_queue")
        if self.made:
            true(self.ip("addr", "add", "10.97.31.1/24", "dev", self.name) and self.ip("link", "set", self.name, "up"), "the tap")
        return self if self.made else None

    def __exit__(self, *_):
        if self.made:
            self.ip("link", "del", self.name)

    @staticmethod
    def ip(*words):
        try:
            return subprocess.run(["/usr/sbin/ip", *words], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
        except FileNotFoundError:
            return False


def test_network_card_with_several_queues():
    """Four downloads at once, by four flows."""
    data = os.urandom(2 * MIB)
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {
        "do_GET": lambda self: (self.send_response(200), self.send_header("Content-Length", str(len(data))), self.end_headers(),
                                self.wfile.write(data)),
        "log_message": lambda self, *_: None})
    with Tap() as tap:
        if tap is None:
            print("not tested: no tap can be made here")
            return
        _, device = nic("virtio", "mq=on", "vectors=10")[2:]
        card = ("-netdev", f"tap,id=n0,ifname={tap.name},script=no,downscript=no,queues=4", "-device", device)
        with http.server.ThreadingHTTPServer(("10.97.31.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            text = guestconfig.config_text(guest(vcpus=2, devices=table("nic", num_queues=2))) + "\n[[nic]]\ndevice = '00:07.0'\n"
            with Machine(text, extra=(*INTEL, *card)) as m:
                m.expect(r"hilum: device 00:07\.0: virtio: 4 pairs of queues", BOOT_S)
                m.prompt()
                m.shell("ip addr add 10.97.31.2/24 dev eth0; ip link set eth0 up; ping -c 1 -W 5 10.97.31.1", within_s=60)
                url = f"http://10.97.31.1:{server.server_address[1]}/"
                m.shell(f"for i in 1 2 3 4; do wget -q -O /tmp/$i {url}$i & done; wait", within_s=120)
                equal(m.shell("md5sum /tmp/[1-4] | cut -d' ' -f1 | uniq -c | tr -s ' '"),
                      f"4 {hashlib.md5(data).hexdigest()}", "the files in the guest")
                true("accesses stopped" not in m.text and "given up" not in m.text, "complaints about the card")
            server.shutdown()


def test_two_disks_beside_the_boot_medium():
    """On the controller that Hilum was booted from: told apart by port or serial number, and the optical drive is left alone."""
    with Files() as files:
        images = [files.ext4("one", 32), files.make("two", b"second", mib=16)]
        drives = [("-drive", f"file={image},if=none,id=d{i},format=raw,discard=unmap", "-device",
                   f"ide-hd,drive=d{i},bus=ide.{i + 1},serial=HILUM-{i + 1}") for i, image in enumerate(images)]
        tables = (guest("one", table("disk", device="00:1f.2/1") + table("disk", device="HILUM-2")),
                  guest("two", table("disk", device="00:1f.2")))
        with Machine(guestconfig.config_text(*tables), extra=(*INTEL, *drives[0], *drives[1])) as m:
            m.expect("hilum: vm two: disk 0: several disks are at that PCI address: name the port too, as in 00:1f.2/1", BOOT_S)
            m.prompt()
            equal(m.shell("head -c 6 /dev/vdb"), "second")
            m.shell("mkdir /tmp/m; mount /dev/vda /tmp/m; head -c 8388608 /dev/urandom >/tmp/m/a; sync; md5sum /tmp/m/a >/tmp/sum; "
                    "head -c 8388608 /dev/zero >/tmp/m/b; sync; rm /tmp/m/b; sync; fstrim /tmp/m; umount /tmp/m")
            total = m.shell("cut -d' ' -f1 /tmp/sum")
            equal(m.shell("dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)' || true"), "", "complaints")
            true("reset" not in m.text and "accesses stopped" not in m.text, "complaints about the disk")
        check_image(images[0], "a", total)


@each(nvme_vtd=(INTEL, *NVME), ahci_amdvi=(AMD, *AHCI))
@long_cases("ahci_amdvi")
def test_disk_of_a_guest_that_gives_memory_back(iommu, device, driver_says, properties):
    """What a guest frees goes back to the host, but never what a device is at: the IOMMU would stop it."""
    with Files() as files:
        image = files.ext4("disk", 48)
        tables = guest(vcpus=2, memory="256M", prefault=False, balloon="2M", devices=table("disk", device="00:06.0"))
        with Machine(guestconfig.config_text(tables), extra=(*iommu, *disk(image, device, **properties))) as m:
            m.expect(f"hilum: device 00:06.0: {driver_says}", BOOT_S)
            m.prompt()
            m.shell("mkdir /tmp/m; mount /dev/vda /tmp/m; dd if=/dev/urandom of=/tmp/m/a bs=1M count=16 2>/dev/null; sync; "
                    "md5sum /tmp/m/a >/tmp/sum", within_s=60)
            m.shell("bad=; for i in 1 2 3 4 5; do echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/zero of=/tmp/big bs=1M count=64 2>/dev/null; "
                    "rm /tmp/big; md5sum -c /tmp/sum || bad=1; cp /tmp/m/a /tmp/m/b; cmp /tmp/m/a /tmp/m/b || bad=1; "
                    "sync; rm /tmp/m/b; sleep 3; done >/dev/null; [ -z \"$bad\" ]", within_s=180)
            total = m.shell("umount /tmp/m; cut -d' ' -f1 /tmp/sum")
            equal(m.shell("dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)' || true"), "", "complaints")
            true("accesses stopped" not in m.text and "given up" not in m.text, "the IOMMU stopped something")
        check_image(image, "a", total)


class Monitor:
    """QEMU's monitor on a socket: one command at a time; command() returns what it printed."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hilum-")
        self.path = os.path.join(self.directory.name, "monitor")

    def command(self, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.path)
            s.sendall(text.encode() + b"\n")
            answer = b""
            while answer.count(b"(qemu) ") < 2:  # before the command and after it
                answer += s.recv(4096)
            return answer.decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.directory.cleanup()


@each(virtio=(INTEL, "virtio", r"link up"), e1000e=(AMD, "e1000e", r"link up, 1000 Mbit/s"))
@long_cases("virtio")
def test_link_goes_and_comes(iommu, kind, says):
    text = guestconfig.config_text(guest(vcpus=2, devices=table("nic"))) + '\n[[nic]]\ndevice = "00:07.0"\n'
    with Monitor() as monitor, Machine(text, extra=(*iommu, *nic(kind)), monitor=monitor.path) as m:
        m.prompt()
        m.shell("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up")
        equal(m.shell("ping -c 2 -W 5 10.0.2.2 | grep -c 'bytes from'", within_s=60), "2", "answers of the gateway")
        for _ in range(2):
            monitor.command("set_link card off")
            m.expect(r"hilum: device 00:07\.0: link down\r?\n")
            m.send("\n")
            m.prompt()
            equal(m.shell("ping -c 3 -W 1 10.0.2.2 | grep -c 'bytes from' || true", within_s=60), "0", "answers without a link")
            monitor.command("set_link card on")
            m.expect(rf"hilum: device 00:07\.0: {says}\r?\n")
            m.send("\n")
            m.prompt()
            equal(m.shell("ping -c 2 -W 5 10.0.2.2 | grep -c 'bytes from'", within_s=60), "2", "answers with it again")
        true("given up" not in m.text, "the card is given up")


@quick
def test_ext4_on_nvme():
    ext4_on(INTEL, *NVME, "00:06.0")


@each(nvme_amdvi=(AMD, *NVME, "HILUM-N1"),
      ahci_vtd=(INTEL, *AHCI, "00:06.0"), ahci_amdvi=(AMD, *AHCI, "HILUM-A1"),
      virtio_vtd=(INTEL, *VIRTIO, "HILUM-V1"), virtio_amdvi=(AMD, *VIRTIO, "0000:00:06.0"))
@long_cases("virtio_vtd", "ahci_vtd")
def test_ext4_on_a_disk_of_the_machine(iommu, device, driver_says, properties, name):
    ext4_on(iommu, device, driver_says, properties, name)


@each(nvme=NVME, virtio=VIRTIO, ahci=AHCI)
@long_cases("virtio", "ahci")
def test_disk_without_an_iommu(device, driver_says, properties):
    """Every page has another address for the device than for the driver VM."""
    ext4_on((), device, driver_says, properties, "00:06.0", "allow_no_iommu = true\n")


def test_virtio_that_goes_round_the_iommu_is_refused():
    with Files() as files:
        image = files.ext4("disk", 8)
        tables = guest(devices=table("disk", device="00:06.0"))
        with Machine(guestconfig.config_text(tables), extra=(*INTEL, *disk(image, "virtio-blk-pci", addr="06.0"))) as m:
            m.expect("hilum: device 00:06.0: virtio: not used: it goes round the IOMMU", BOOT_S)
            m.expect("hilum: vm linux: disk 0: no disk is at that PCI address", BOOT_S)
            m.expect("hilum: no VM was started", BOOT_S)


def test_partitions_of_one_disk_for_two_guests():
    parts = [(2048, 2048, "first", uuid.UUID(int=1)), (4096, 4096, "second", uuid.UUID(int=2))]
    with Files() as files:
        image = files.make("disk", gpt(16 * MIB // 512, parts))
        tables = (guest("one", table("disk", device="HILUM-N1", partlabel="first")),
                  guest("two", table("disk", device="HILUM-N1", partition=2)),
                  guest("greedy", table("disk", device="HILUM-N1")),
                  guest("reader", table("disk", device="HILUM-N1", partition=2, readonly=True)))
        with Machine(guestconfig.config_text(*tables), memory="2G", extra=(*INTEL, *disk(image, NVME[0], **NVME[2]))) as m:
            for name in ("greedy", "reader"):
                m.expect(f"hilum: vm {name}: disk 0: another guest's disk is in the same place", BOOT_S)
            m.prompt()
            m.shell("echo -n hello >/dev/vda; sync; blockdev --getsz /dev/vda")
            equal(m.shell("blockdev --getsz /dev/vda"), "2048", "sectors of the first partition")
        with open(image, "rb") as file:
            file.seek(2048 * 512)
            equal(file.read(5), b"hello", "what the first guest wrote")


RULES = b"""
[inject-error]
event = "none"
iotype = "read"
sector = "8192"
errno = "5"

[inject-error]
event = "none"
iotype = "write"
sector = "16384"
errno = "5"

[inject-error]
event = "none"
iotype = "flush"
errno = "5"
"""


@each(nvme=(INTEL, *NVME), virtio=(INTEL, *VIRTIO), ahci_vtd=(INTEL, *AHCI), ahci_amdvi=(AMD, *AHCI))
@long_cases("virtio", "ahci_vtd")
def test_io_errors_reach_the_guest_and_nobody_else(iommu, device, driver_says, properties):
    """QEMU's blkdebug fails what reads sector 8192 or writes sector 16384, and every flush; all else goes on."""
    with Files() as files:
        image = files.make("disk", b"first", mib=16)
        # As for a real disk: it tells its user of errors, and QEMU does not stop for them.
        drive = disk(f"blkdebug:{files.make('rules', RULES)}:{image}", device, "rerror=report,werror=report", **properties)
        with Machine(guestconfig.config_text(guest(devices=table("disk", device="00:06.0"))), extra=(*iommu, *drive)) as m:
            def dd(arguments):
                return m.shell(f"dd {arguments} 2>/dev/null && echo done || echo failed").split()[-1]

            m.expect(f"hilum: device 00:06.0: {driver_says}", BOOT_S)
            m.prompt()
            equal(m.shell("dmesg -n 1; head -c 5 /dev/vda"), "first")
            for _ in range(2):
                equal(dd("if=/dev/vda of=/dev/null bs=4096 skip=1024 count=1 iflag=direct"), "failed", "the bad block")
                equal(m.shell("dd if=/dev/vda bs=4096 skip=1025 count=1 2>/dev/null | wc -c"), "4096", "the next block")
            equal(dd("if=/dev/zero of=/dev/vda bs=4096 seek=2048 count=1 oflag=direct"), "failed", "a write to the bad block")
            m.shell("head -c 262144 /dev/urandom >/tmp/a")
            equal(dd("if=/tmp/a of=/dev/vda bs=64k seek=1 count=4 oflag=direct"), "done", "writes elsewhere")
            equal(dd("if=/tmp/a of=/dev/vda bs=4096 seek=16 count=1 conv=fsync"), "failed", "a flush")
            equal(m.shell("dd if=/dev/vda of=/tmp/b bs=64k skip=1 count=4 iflag=direct 2>/dev/null; cmp /tmp/a /tmp/b && echo same"),
                  "same", "what was written")
            true("given up" not in m.text and "accesses stopped" not in m.text, "complaints about the disk")


@each(nvme=NVME, virtio=VIRTIO, ahci=AHCI)
@long_cases("ahci", "virtio")
def test_guest_ends_while_its_disk_and_card_are_at_work(device, driver_says, properties):
    """What is under way in the guest's memory ends before the memory goes; the disk is there for the next life."""
    with Files() as files:
        image = files.make("disk", mib=64)
        text = (guestconfig.config_text(guest(vcpus=2, devices=table("disk", device="00:06.0") + table("nic")))
                + "\n[[nic]]\ndevice = '00:07.0'\n")
        card = ("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,addr=07.0,disable-legacy=on,iommu_platform=on")
        with Machine(text, extra=(*INTEL, *disk(image, device, **properties), *card)) as m:
            for _ in range(3):
                m.prompt()
                m.shell("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; "
                        "for i in 0 1 2 3; do dd if=/dev/zero of=/dev/vda bs=1M oflag=direct seek=$((i * 16)) count=16 2>/dev/null & "
                        "dd if=/dev/vda of=/dev/null bs=4k iflag=direct 2>/dev/null & done; ping -A -s 1400 10.0.2.2 >/dev/null 2>&1 & true")
                m.send("sleep 1; reboot -f\n")
                m.expect("hilum: vm linux ended: reset")
            m.prompt()
            equal(m.shell("dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null && echo read", within_s=60), "read")
            equal(m.shell("ip addr add 10.0.2.15/24 dev eth0 2>/dev/null; ip link set eth0 up; ping -c 2 -W 5 10.0.2.2 | grep -c 'bytes from'",
                          within_s=60), "2", "answers of the gateway")
            true("given up" not in m.text and "accesses stopped" not in m.text, "complaints about a device")
