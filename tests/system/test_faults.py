"""A disk of the machine that stops answering: nobody waits for it for ever, what else the driver VM does goes on, and the disk is there
again when it answers and a fresh driver VM comes. Errors of disks, and links that go, are in test_drivers.py."""
import re

from harness import BOOT_S, Machine, each, equal, guestconfig, long_cases, true
from test_devices import INTEL
from test_drivers import NVME, VIRTIO, Monitor, disk
from test_restart import ASK, PORT, kill, settings
from test_virtio import Files, guest, table

READ = "dd if=/dev/{} of=/dev/null bs=4096 count=1 skip={} iflag=direct 2>/dev/null"
GIVEN_UP = "hilum: device 00:06.0: given up: a command takes longer than 10 s"
NEVER = "restarted|accesses stopped|Kernel panic|assertion"


# No AHCI disk: QEMU waits for what it was asked when the driver resets the link, and stands still itself (unit/host_ahci has that case).
@each(nvme=NVME, virtio=VIRTIO)
@long_cases("virtio")
def test_disk_stops_answering(device, driver_says, properties):
    """QEMU's blkdebug holds the next read of the disk back, for ever at first."""
    with Files() as files, Monitor() as monitor:
        drive = disk("blkdebug::" + files.make("disk", b"first", mib=16), device, **properties)
        devices = table("disk", device="00:06.0") + table("disk", module="other")
        text = settings(guestconfig.config_text(guest(devices=devices, debug_crash=PORT)), driver_restarts=2)
        modules = {"other": files.make("other", b"other", mib=1)}
        with Machine(text, modules, extra=(*INTEL, *drive), monitor=monitor.path) as m:
            def reads(name, at):
                return m.shell(READ.format(name, at) + " && echo done || echo failed")

            m.expect(f"hilum: device 00:06.0: {driver_says}", BOOT_S)
            m.prompt()
            equal(m.shell("dmesg -n 1; head -c 5 /dev/vda"), "first")
            said = monitor.command('qemu-io d0 "break read_aio held"')
            true("Could not" not in said and "rror" not in said, said)
            # One command, and a pause before the read: QEMU tells on its standard output, where the serial line is, that it holds it back.
            ends = m.shell(f"(sleep 2; {READ.format('vda', 100)}; echo $? >/tmp/held) & sleep 4; {READ.format('vdb', 2)} && echo other; "
                           "until [ -s /tmp/held ]; do sleep 0.1; done; cat /tmp/held", within_s=90)
            equal(ends.split()[-2:], ["other", "1"], "how the reads end")
            if GIVEN_UP not in m.text:
                m.expect(re.escape(GIVEN_UP))
            true(not re.search(NEVER, m.text), "more than that disk has suffered")
            equal(reads("vda", 200), "failed", "a disk that was given up")
            equal(reads("vdb", 3), "done", "the other disk")
            monitor.command('qemu-io d0 "resume held"')  # what it answers now, nobody wants any more
            equal(reads("vda", 200), "failed", "a disk that was given up")
            kill(m, ASK)
            equal(reads("vda", 200), "done", "the disk in the hands of a fresh driver VM")
            equal(m.shell("head -c 5 /dev/vda"), "first")
            m.send("poweroff\n")
            equal(m.finish(), 0, "status")
