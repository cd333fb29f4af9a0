"""Devices behind an IOMMU: what tests/service/dma/ finds in the driver VM's place, with QEMU's edu device."""
import os
import re

from harness import BOOT_S, Machine, each, equal, machine, true

INTEL = ("-device", "intel-iommu,intremap=on,caching-mode=off,aw-bits=48")
INTEL_39 = ("-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=39")
AMD = ("-device", "amd-iommu,intremap=on")
EDU = ("-device", "edu,addr=04.0,dma_mask=0xffffffff")
CONFIG = "[hilum]\non_last_guest_exit = 'stay'\ndevices = 'all'\n"
DMA_TEST = {"driver": os.path.join(machine.BUILD, "dma-test.bin")}


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
