"""The bench guest (tests/guest/bench) under Hilum: its image, and what it prints."""
import os

import guestconfig
import machine

GUEST = os.path.join(machine.BUILD, "guest", "bench.elf")


def image(scratch, cmdline="", driver=None):
    config = os.path.join(scratch, "hilum.toml")
    with open(config, "w", encoding="utf-8") as file:
        # A virtio device for the doorbell; memory that comes page by page for the nested page fault.
        file.write(guestconfig.config_text(guestconfig.vm_table("bench", "bench", cmdline=cmdline, memory="64M", debug_exit=0xF4,
                                                                console="virtio", prefault=False, hugepages=False)))
    return machine.make_image(os.path.join(scratch, "bench.iso"), config, {"bench": GUEST}, driver=driver)
