"""Devices of the machine that fail in ways that test_drivers.py does not have: a disk that stops answering. Nobody waits for it for ever, what
else the driver VM does goes on, and the disk is there again when it answers and a fresh driver VM comes."""
from harness import BOOT_S, Machine, each, equal, guestconfig, long_cases, true
from test_devices import INTEL
from test_drivers import NVME, VIRTIO, Monitor, disk
from test_restart import ASK, PORT, kill, settings
from test_virtio import Files, guest, table

NEVER = "WRONG|restarted|accesses stopped|Kernel panic|assertion"


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
                return m.shell(f"dd if=/dev/{name} of=/dev/null bs=4096 count=1 skip={at} iflag=direct 2>/dev/null && echo done || echo failed")

            m.expect(f"hilum: device 00:06.0: {driver_says}", BOOT_S)
            m.prompt()
            equal(m.shell("dmesg -n 1; head -c 5 /dev/vda"), "first")
            said = monitor.command('qemu-io d0 "break read_aio held"')
            true("Could not" not in said and "rror" not in said, said)
            m.shell("(dd if=/dev/vda of=/dev/null bs=4096 count=1 skip=100 iflag=direct 2>/dev/null && echo WRONG || echo failed at last) & true")
            equal(reads("vdb", 2), "done", "the other disk meanwhile")
            m.expect("hilum: device 00:06.0: given up: a command takes longer than 10 s", never=NEVER)
            m.expect("failed at last", never=NEVER)
            m.send("\n")
            m.prompt()
            equal(reads("vda", 200), "failed", "a disk that was given up")
            equal(reads("vdb", 3), "done", "the other disk")
            monitor.command('qemu-io d0 "resume held"')  # what it answers now, nobody wants any more
            equal(reads("vda", 200), "failed", "a disk that was given up")
            kill(m, ASK)
            equal(reads("vda", 200), "done", "the disk in the hands of a fresh driver VM")
            equal(m.shell("head -c 5 /dev/vda"), "first")
            m.send("poweroff\n")
            equal(m.finish(), 0, "status")
