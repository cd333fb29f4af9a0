"""The driver VM's drivers, on QEMU's devices behind both IOMMUs: a guest's file system on a disk of the machine."""
import hashlib
import http.server
import os
import subprocess
import threading

from harness import BOOT_S, Machine, each, equal, guestconfig, quick, true
from test_devices import AMD, INTEL
from test_virtio import MIB, Files, gpt, guest, table, write_sync_verify


def disk(image, device, *options, **properties):
    """Arguments of QEMU for an image behind a storage device. The medium is what was synced: no cache of QEMU's hides a lost flush."""
    words = ",".join([device, "drive=d0"] + [f"{key}={value}" for key, value in properties.items()])
    return ("-drive", ",".join([f"file={image},if=none,id=d0,format=raw", *options]), "-device", words)


def debugfs(image, command):
    return subprocess.run(["/usr/sbin/debugfs", "-R", command, image], check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def check_image(image, name, wanted):
    """The file system in the image is whole, and the file has that MD5 sum."""
    subprocess.run(["/usr/sbin/e2fsck", "-fn", image], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    equal(hashlib.md5(debugfs(image, f"cat {name}")).hexdigest(), wanted, "the file on the host")


NVME = ("nvme", "NVMe disk 'HILUM-N1'", {"serial": "HILUM-N1", "addr": "06.0"})


VIRTIO = ("virtio-blk-pci", "virtio disk 'HILUM-V1'", {"serial": "HILUM-V1", "addr": "06.0", "disable-legacy": "on", "iommu_platform": "on"})


def ext4_on(iommu, device, driver_says, properties, name):
    with Files() as files:
        image = files.ext4("disk", 48)
        tables = guest(vcpus=2, devices=table("disk", device=name, serial="GUESTS-OWN"))
        with Machine(guestconfig.config_text(tables), extra=(*iommu, *disk(image, device, **properties))) as m:
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


def fetch_from_host(iommu, device, *options):
    """A guest reaches QEMU's gateway through an uplink, and fetches a file from the host."""
    data = os.urandom(3 * MIB)
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {
        "do_GET": lambda self: (self.send_response(200), self.send_header("Content-Length", str(len(data))), self.end_headers(),
                                self.wfile.write(data)),
        "log_message": lambda self, *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = guestconfig.config_text(guest(vcpus=2, devices=table("nic"))) + f'\n[[nic]]\ndevice = "{device}"\n'
        card = ",".join(["virtio-net-pci", "netdev=n0", "addr=07.0", "mac=52:54:00:AA:bb:01", "disable-legacy=on",
                         "iommu_platform=on", *options])
        with Machine(text, extra=(*iommu, "-netdev", "user,id=n0", "-device", card)) as m:
            m.expect(r"hilum: device 00:07\.0: virtio network card 52:54:00:aa:bb:01", BOOT_S)
            m.prompt()
            m.shell("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up")
            equal(m.shell("ping -c 3 -W 5 10.0.2.2 | grep -c 'bytes from'", within_s=60), "3", "answers of the gateway")
            m.shell(f"wget -q -O /tmp/f http://10.0.2.2:{server.server_address[1]}/f", within_s=90)
            equal(m.shell("md5sum /tmp/f | cut -d' ' -f1"), hashlib.md5(data).hexdigest(), "the file in the guest")
            true("accesses stopped" not in m.text and "given up" not in m.text, "complaints about the card")
        server.shutdown()


@each(vtd_by_address=(INTEL, "00:07.0"), amdvi_by_mac=(AMD, "52:54:00:AA:BB:01"), not_merged=(INTEL, "0000:00:07.0", "mrg_rxbuf=off"))
def test_network_reaches_the_host(*arguments):
    fetch_from_host(*arguments)


@each(nvme_vtd=(INTEL, *NVME, "00:06.0"), nvme_amdvi=(AMD, *NVME, "HILUM-N1"),
      virtio_vtd=(INTEL, *VIRTIO, "HILUM-V1"), virtio_amdvi=(AMD, *VIRTIO, "0000:00:06.0"))
def test_ext4_on_a_disk_of_the_machine(iommu, device, driver_says, properties, name):
    ext4_on(iommu, device, driver_says, properties, name)
