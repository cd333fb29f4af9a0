"""Devices behind an IOMMU: what tests/service/dma/ finds in the driver VM's place, with QEMU's edu device."""
import os
import re

from harness import BOOT_S, Machine, each, equal, linux, machine, quick, true

INTEL = ("-device", "intel-iommu,intremap=on,caching-mode=off,aw-bits=48")
INTEL_39 = ("-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=39")
AMD = ("-device", "amd-iommu,intremap=on")
EDU = ("-device", "edu,addr=04.0,dma_mask=0xffffffff")
CONFIG = "[hilum]\non_last_guest_exit = 'stay'\ndevices = 'all'\ndriver_restarts = 0\n"  # what is in the driver VM's place is not watched
DMA_TEST = {"driver": os.path.join(machine.BUILD, "dma-test.bin")}


@quick
@each(intel=(INTEL, "VT-d", True), intel_39_bits=(INTEL_39, "VT-d", True), amd=(AMD, "AMD-Vi", False))
def test_dma_and_interrupts(iommu, name, records):
    with Machine(CONFIG, DMA_TEST, linux=False, without=("driver",), extra=(*iommu, *EDU)) as m:
        m.expect(f"hilum: {name}: 1 units", BOOT_S)
        m.expect(r"dma: 0 failures", BOOT_S, never="FAILED")
        stopped = re.findall(r"dma: faults (\d+) for a write to (0x[0-9a-f]+), last at (0x[0-9a-f]+) kind 0 write (\d)", m.text)
        equal(len(stopped), 4, "writes that were tried")
        if records:
            for count, to, last, write in stopped:
                equal((int(count), int(last, 16) & ~0xFFF, write), (1, int(to, 16) & ~0xFFF, "1"), "what was recorded")
            true(re.search(r"device 00:04\.0: 1 accesses stopped, the last a write at 0x7f000000", m.text), "the control VM's report")
            true(re.search(r"device 00:04\.0 is cut off", m.text), "the kernel's line about the flood")


DRIVER_SEES = r"hilum: device [0-9a-f:.]+: [0-9a-f]{4}:[0-9a-f]{4}, class 0x01"


def test_no_iommu_no_devices():
    with Machine("[hilum]\n", linux=False) as m:
        m.expect("hilum: warning: no IOMMU is in use, so devices reach all memory", BOOT_S)
        m.expect("hilum: no IOMMU is in use, so no device is used", BOOT_S)
        m.expect("hilum: no VM was started", BOOT_S, never=DRIVER_SEES)


def test_no_iommu_allowed_warns():
    with Machine("[hilum]\nallow_no_iommu = true\n", linux=False) as m:
        m.expect("hilum: warning: no IOMMU is in use, and hilum.toml allows that", BOOT_S)
        m.expect(DRIVER_SEES, BOOT_S)


def test_no_iommu_dma_needs_the_machines_addresses():
    with Machine(CONFIG + "allow_no_iommu = true\n", DMA_TEST, linux=False, without=("driver",), extra=EDU) as m:
        m.expect("dma: ok: DMA inside the domain copies", BOOT_S)
        m.expect("dma: addresses are the machine's; 0 failures", BOOT_S)


@each(intel=(INTEL,), amd=(AMD,))
def test_guest_and_console_beside_an_iommu(iommu):
    """The host's serial interrupt comes by way of the remapped I/O APIC."""
    with Machine(linux(), extra=iommu) as m:
        m.expect(DRIVER_SEES, BOOT_S)
        m.prompt()
        equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")
