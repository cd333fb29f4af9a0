"""The state on a disk: kept over reboots and over power cuts, refused to guests, done without where there is no place for it."""
import http.client
import json
import random
import re
import socket
import ssl
import struct
import threading
import time
import uuid

from gpt import SECTOR, STATE_FIRST, STATE_SECTORS, gpt, state_disk
from harness import BOOT_S, COMMAND_S, Machine, equal, guestconfig, long, true
from test_devices import INTEL
from test_drivers import NVME, VIRTIO, disk
from test_restart import CRASH, PORT, kill
from test_virtio import MIB, Files, guest, table

EMPTY = guestconfig.config_text(on_last_guest_exit="stay")
SLOT_SECTORS = 4096
SLOW = "throttling.iops-write=2"  # so that there is time between two writes


def copies_on(image):
    """[(sequence, values)] of the copies on the disk that are whole, the newest first: read without any code of Hilum's."""
    with open(image, "rb") as file:
        data = file.read()
    found = []
    for slot in range(2):
        at = (STATE_FIRST + slot * SLOT_SECTORS) * SECTOR
        magic, _, _, sequence, count, crc = struct.unpack_from("<8sIIQII", data, at)
        body = data[at + SECTOR:at + SECTOR + count]
        if magic == b"LIHSTATE" and crc == crc32c(body):
            found.append((sequence, values(body)))
    return sorted(found, key=lambda copy: copy[0], reverse=True)


def boots_on(image):
    """[(sequence, boots)], likewise."""
    return [(sequence, int(found["setting/boots"])) for sequence, found in copies_on(image)]


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


class Api:
    """The machine's HTTPS, by a port of this host."""

    def __init__(self):
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            self.port = any_port.getsockname()[1]
        self.token = None
        self.network = ("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.20:443", "-device", CARD)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=COMMAND_S, context=ssl._create_unverified_context())

    def request(self, method, path, body=None, connection=None):
        """(status, the answer)"""
        connection = connection or self.connect()
        connection.request(method, "/api/v1" + path, body and json.dumps(body), {"Authorization": f"Bearer {self.token}",
                                                                                 "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


API_TOML = EMPTY + '\n[api]\nip = "10.0.2.20/24"\n'
VMS = 8
CARD = "virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,disable-legacy=on,iommu_platform=on"


def define_until_killed(m, api, number, seconds):
    """Defines VMs as fast as it goes until the machine is gone, number n as VM n modulo VMS; returns the last number that was
    acknowledged, and the last that was asked for."""
    done = asked = number
    timer = threading.Timer(seconds, m.running.process.kill)
    timer.start()
    try:
        connection = api.connect()
        while True:
            asked += 1
            body = {"kernel": "vmlinuz", "cmdline": f"number={asked} " + "x" * (asked * 997 % 3000)}
            status, answer = api.request("PUT", f"/vms/v-{asked % VMS}", body, connection)
            true(status in (200, 201), f"definition {asked}: {status}, {answer}")
            done = asked
    except (OSError, http.client.HTTPException):
        pass
    timer.join()
    m.running.process.wait()
    return done, asked


def kept_number(image):
    """The number of the last definition on the disk. They were made one after the other, so it must have those before it beside it."""
    copies = copies_on(image)
    true(copies, "no copy of the state is whole")
    found = {key: int(re.search(rb"number=(\d+) ", value).group(1)) for key, value in copies[0][1].items() if key.startswith("vm/")}
    last = max(found.values(), default=0)
    equal(found, {f"vm/v-{number % VMS}": number for number in range(max(1, last - VMS + 1), last + 1)}, "definitions")
    return last


def change_until_killed(times):
    rng = random.Random(11)
    kept = 0
    api = Api()
    with Files() as files:
        image = state_image(files)
        for number in range(1, times + 1):
            with Machine(API_TOML, extra=(*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]), *api.network)) as m:
                equal(started(m), number, "start")
                if api.token is None:
                    api.token = m.expect(r"hilum: api: first token .*: (hilum_\S{43})", BOOT_S).group(1)
                m.expect("hilum: api: certificate", BOOT_S, never="first token" if number > 1 else None)
                status, answer = api.request("GET", "/vms")
                equal((status, len(answer["vms"])), (200, min(kept, VMS)), "VMs that the API lists")
                done, asked = define_until_killed(m, api, kept, rng.uniform(0.5, 2))
            before, kept = kept, kept_number(image)
            true(max(before, done) <= kept <= asked, f"definition {kept} of {asked}, after {before}; {done} was acknowledged")
    print(f"{times} times: {kept} definitions in the end, every one that was acknowledged among them")


def test_machine_killed_while_the_api_defines_vms():
    change_until_killed(4)


@long
def test_machine_killed_many_times_while_the_api_defines_vms():
    change_until_killed(50)


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
        equal(boots_on(image)[0][1], 1, "the start in the state beside it")


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
    refused = "hilum: vm owner: disk 0: Hilum's own state, the partition 'hilum-state', is in the same place"
    api = Api()
    with Files() as files:
        image = state_image(files)
        tables = guest("other", debug_crash=PORT) + "\n" + guest("owner", table("disk", device="HILUM-V1"))
        hardware = (*INTEL, *disk(image, VIRTIO[0], **VIRTIO[2]), *api.network)
        with Machine(API_TOML + tables, extra=hardware) as m:
            m.expect("hilum: disk at .*: its partition 'hilum-state' is not used, as a VM is to have the whole disk", BOOT_S)
            m.expect("hilum: no GPT partition labelled 'hilum-state': nothing will be kept", BOOT_S)
            m.expect(refused, BOOT_S)
            api.token = m.expect(r"hilum: api: first token .*: (hilum_\S{43})", BOOT_S).group(1)
            m.prompt()
            kill(m, CRASH)  # a fresh driver VM knows it, too
            api.request("POST", "/vms/owner/boot", {})
            m.expect(refused)
        equal(copies_on(image), [], "copies of the state")
        named = (API_TOML + tables).replace("[hilum]\n", '[hilum]\nstate_disk = "HILUM-V1"\n')
        with Machine(named, extra=hardware) as m:
            equal(started(m), 1, "start")
            m.expect(refused, BOOT_S)
