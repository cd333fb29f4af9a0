"""The driver VM's drivers, on QEMU's devices behind both IOMMUs: a guest's file system on a disk of the machine."""
import hashlib
import os
import subprocess

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


@each(nvme_vtd=(INTEL, *NVME, "00:06.0"), nvme_amdvi=(AMD, *NVME, "HILUM-N1"),
      virtio_vtd=(INTEL, *VIRTIO, "HILUM-V1"), virtio_amdvi=(AMD, *VIRTIO, "0000:00:06.0"))
def test_ext4_on_a_disk_of_the_machine(iommu, device, driver_says, properties, name):
    ext4_on(iommu, device, driver_says, properties, name)
