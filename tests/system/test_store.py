"""The state on a disk: kept over reboots and over power cuts, refused to guests, done without where there is no place for it."""
import random
import struct
import time
import uuid

from gpt import SECTOR, STATE_FIRST, STATE_SECTORS, gpt, state_disk
from harness import BOOT_S, Machine, equal, guestconfig, long, quick, true
from test_devices import INTEL
from test_drivers import NVME, VIRTIO, disk
from test_restart import CRASH, PORT, kill
from test_virtio import MIB, Files, guest, table

EMPTY = guestconfig.config_text(on_last_guest_exit="stay")
SLOT_SECTORS = 4096
SLOW = "throttling.iops-write=2"  # so that there is time between two writes


def boots_on(image):
    """[(sequence, boots)] of the copies on the disk that are whole, the newest first: read without any code of Hilum's."""
    with open(image, "rb") as file:
        data = file.read()
    found = []
    for slot in range(2):
        at = (STATE_FIRST + slot * SLOT_SECTORS) * SECTOR
        magic, _, _, sequence, count, crc = struct.unpack_from("<8sIIQII", data, at)
        body = data[at + SECTOR:at + SECTOR + count]
        if magic == b"LIHSTATE" and crc == crc32c(body):
            found.append((sequence, int(values(body)["setting/boots"])))
    return sorted(found, reverse=True)


def values(body):
    at, found = 0, {}
    while at < len(body):
        _, key, _, count = struct.unpack_from("<IHHI", body, at)
        at += 12
        found[body[at:at + key].decode()] = body[at + key:at + key + count]
        at += key + count
    return found


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def state_image(files):
    with open(files.make("state"), "wb") as file:
        file.write(state_disk())
    return file.name


def boot(image, kind, *options):
    """A machine without guests and with that disk."""
    return Machine(EMPTY, linux=False, extra=(*INTEL, *disk(image, kind[0], *options, **kind[2])))


def started(m):
    """The number of this start, as Hilum says it."""
    return int(m.expect(r"hilum: boot (\d+) of this state", BOOT_S, never="copies are damaged|cannot be").group(1))


@quick
def test_state_is_kept_over_reboots():
    with Files() as files:
        image = state_image(files)
        for number in (1, 2, 3):
            with boot(image, VIRTIO) as m:
                equal(started(m), number, "start")
                time.sleep(1)
                m.settle()
        for _ in range(2):
            with boot(image, NVME) as m:
                number += 1
                equal(started(m), number, "start from an NVMe disk")
                m.settle()


def cut_power(times):
    """The machine ends at any moment around the write of the new state: the next one has the number of starts from before or after."""
    rng = random.Random(5)
    stays = 0
    with Files() as files:
        image = state_image(files)
        kept = 0
        for moment in rng.sample(range(times), times):
            with boot(image, VIRTIO, SLOW) as m:
                number = started(m)
                equal(number, kept + 1, "start")
                time.sleep((moment + rng.random()) / times)
                m.running.process.kill()
                m.running.process.wait()
            copies = boots_on(image)
            if kept:
                true(copies, "no copy of the state is whole")
            found = copies[0][1] if copies else 0
            true(found in (kept, number), f"the state says {found} after {kept}, then {number}")
            stays += found == kept
            kept = found
    print(f"{times} power cuts: {stays} times the old state, {times - stays} times the new one")


def test_power_cuts():
    cut_power(8)


@long
def test_many_power_cuts():
    cut_power(50)


def test_without_a_partition_all_works_in_memory():
    with Files() as files:
        image = files.make("plain", mib=4)
        tables = guest(devices=table("disk", device="HILUM-V1"))
        with Machine(guestconfig.config_text(tables), extra=(*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]))) as m:
            m.expect("hilum: no GPT partition labelled 'hilum-state': nothing will be kept", BOOT_S)
            m.prompt()
            equal(m.shell("blockdev --getsz /dev/vda"), str(4 * MIB // SECTOR), "sectors of the guest's disk")


def test_guest_gets_neither_the_partition_nor_the_disk_around_it():
    parts = [(STATE_FIRST, STATE_SECTORS, "hilum-state", uuid.UUID(int=1)), (12288, 2048, "other", uuid.UUID(int=2))]
    with Files() as files:
        image = files.make("disk", gpt(16384, parts))
        tables = (guest("good", table("disk", device="HILUM-V1", partlabel="other"), debug_crash=PORT),
                  guest("greedy", table("disk", device="HILUM-V1", readonly=True)),
                  guest("thief", table("disk", device="HILUM-V1", partlabel="hilum-state")))
        with Machine(guestconfig.config_text(*tables), memory="2G", extra=(*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]))) as m:
            for name in ("greedy", "thief"):
                m.expect(f"hilum: vm {name}: disk 0: Hilum's own state, the partition 'hilum-state', is in the same place", BOOT_S)
            m.prompt()
            equal(m.shell("blockdev --getsz /dev/vda"), "2048", "sectors of the good guest's partition")
            kill(m, CRASH)
            equal(m.shell("dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync 2>/dev/null && echo well"), "well")
            true("is gone" not in m.text, "the fresh driver VM did not find the partition")
        equal(boots_on(image), [(1, 1)], "the state beside it")


def test_of_two_disks_with_the_label_none_is_used_unless_it_is_named():
    with Files() as files:
        image = state_image(files)
        other = ("-drive", f"file={files.make('other', state_disk())},if=none,id=d1,format=raw", "-device", "nvme,drive=d1,serial=OTHER")
        hardware = (*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]), *other)
        with Machine(EMPTY, linux=False, extra=hardware) as m:
            m.expect("hilum: several disks have a GPT partition labelled 'hilum-state': none of them is used", BOOT_S)
            m.expect("hilum: no GPT partition labelled 'hilum-state': nothing will be kept", BOOT_S)
        with Machine(EMPTY.replace("[hilum]\n", '[hilum]\nstate_disk = "OTHER"\n'), linux=False, extra=hardware) as m:
            equal(started(m), 1, "start")
            m.settle()
        equal(boots_on(image), [], "copies on the disk that is not named")


def test_disk_that_a_guest_may_write_as_a_whole_is_not_believed():
    with Files() as files:
        image = state_image(files)
        tables = guest("owner", table("disk", device="HILUM-V1"))
        hardware = (*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]))
        with Machine(guestconfig.config_text(tables, on_last_guest_exit="stay"), extra=hardware) as m:
            m.expect("hilum: disk at .*: its partition 'hilum-state' is not used, as a VM is to have the whole disk", BOOT_S)
            m.expect("hilum: no GPT partition labelled 'hilum-state': nothing will be kept", BOOT_S)
            m.expect("hilum: vm owner: disk 0: Hilum's own state, the partition 'hilum-state', is in the same place", BOOT_S)
        equal(boots_on(image), [], "copies of the state")
        named = guestconfig.config_text(tables, on_last_guest_exit="stay").replace("[hilum]\n", '[hilum]\nstate_disk = "HILUM-V1"\n')
        with Machine(named, extra=hardware) as m:
            equal(started(m), 1, "start")
