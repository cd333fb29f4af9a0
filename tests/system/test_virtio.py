"""Virtio devices under Debian's own drivers: disks on boot modules, network cards on the switch, entropy, balloon."""
import os
import subprocess
import tempfile
import uuid

from gpt import gpt
from harness import Machine, each, equal, guestconfig, long, long_cases, machine, quick, true

MIB = 1 << 20
CARDS = "grep -i virtio /proc/interrupts | sed 's/.*virtio/virtio/' | sort"


def guest(name="linux", devices="", **keywords):
    return guestconfig.linux_table(name=name, **keywords) + devices


def table(kind, **keys):
    """A [[vm.disk]] or [[vm.nic]] table for the VM before it."""
    def text(value):
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return "[" + ", ".join(text(item) for item in value) + "]"
        return guestconfig.quote(value) if isinstance(value, str) else str(value)

    return "\n".join([f"[[vm.{kind}]]"] + [f"{key} = {text(value)}" for key, value in keys.items()]) + "\n"


class Files(tempfile.TemporaryDirectory):
    """Images to be used as modules."""

    def __init__(self):
        os.makedirs(os.path.join(machine.BUILD, "tmp"), exist_ok=True)
        super().__init__(dir=os.path.join(machine.BUILD, "tmp"), prefix="disks.")

    def __enter__(self):
        return self

    def make(self, name, data=b"", mib=0):
        path = os.path.join(self.name, name)
        with open(path, "wb") as file:
            file.write(data)
            file.truncate(max(len(data), mib * MIB))
        return path

    def ext4(self, name, mib):
        path = self.make(name, mib=mib)
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal" if mib < 8 else "has_journal", path],
                       check=True, stdin=subprocess.DEVNULL)
        return path


def write_sync_verify(m, device, mib):
    """A file system on the device keeps what is written, over a new mount."""
    m.shell(f"mkdir -p /m; mount -t ext4 {device} /m")
    m.shell(f"dd if=/dev/urandom of=/m/a bs=1M count={mib} 2>/dev/null; sync; md5sum /m/a >/tmp/sum", within_s=60)
    m.shell("umount /m; echo 3 >/proc/sys/vm/drop_caches")
    m.shell(f"mount -t ext4 {device} /m; md5sum -s -c /tmp/sum; s=$?; umount /m; exit_with() {{ return $1; }}; exit_with $s",
            within_s=60)


@quick
@long
def test_ext4_on_a_ram_disk():
    with Files() as files:
        image = files.ext4("disk", 24)
        with Machine(guestconfig.config_text(guest(vcpus=2, devices=table("disk", module="disk", serial="HILUM-1"))),
                     {"disk": image}) as m:
            m.prompt()
            equal(m.shell("cat /sys/block/vda/size"), str(24 * MIB // 512), "sectors")
            equal(m.shell("cat /sys/block/vda/serial"), "HILUM-1", "serial number")
            write_sync_verify(m, "/dev/vda", 8)
            # What was written is there after the guest's restart: the disk is no part of the guest.
            m.send("reboot\n")
            m.expect("ended: reset")
            m.prompt()
            m.shell("mkdir /m; mount -t ext4 /dev/vda /m; ls -l /m/a; umount /m")
            equal(m.shell("dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)' || true"), "", "complaints")
            m.send("poweroff\n")
            equal(m.finish(), 0, "status")


@long
def test_guest_that_starts_again_and_again_keeps_its_disk_and_its_network():
    cmdline = ('hilum.run="ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; mkdir /m; mount /dev/vda /m; echo x >>/m/starts; '
               'until ping -c 1 -W 1 10.0.0.2 >/dev/null; do :; done; echo start $(grep -c x /m/starts) reached it; umount /m"')
    other = 'hilum.run="ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; while :; do sleep 1000; done"'
    devices = table("disk", module="disk") + table("nic")
    with Files() as files:
        tables = (guest("again", devices, cmdline=cmdline, rng=True, balloon="8M", on_poweroff="restart"),
                  guest("other", table("nic"), cmdline=other))
        with Machine(guestconfig.config_text(*tables), {"disk": files.ext4("disk", 24)}) as m:
            for i in range(1, 6):
                m.expect(f"start {i} reached it", 120)
                m.expect("vm again ended: poweroff")


@each(packed=(True, 2), packed_one_queue=(True, 1), split_four_queues=(False, 4))
@long_cases("packed_one_queue", "split_four_queues")
def test_rings_and_queues_of_a_disk(packed, queues):
    with Files() as files:
        image = files.ext4("disk", 24)
        tables = guest(vcpus=2, packed=packed, devices=table("disk", module="disk", num_queues=queues))
        with Machine(guestconfig.config_text(tables), {"disk": image}) as m:
            m.prompt()
            features = m.shell("cat /sys/bus/virtio/devices/virtio0/features")
            equal(features[34], "1" if packed else "0", "VIRTIO_F_RING_PACKED")
            equal(m.shell("ls /sys/block/vda/mq | wc -l"), str(min(queues, 2)), "queues")
            write_sync_verify(m, "/dev/vda", 8)
            # Both vCPUs at once, each half of the disk, compared with what one reads.
            m.shell("for i in 0 1; do taskset $((i + 1)) dd if=/dev/vda of=/tmp/r$i bs=64k skip=$((i * 192)) count=192 2>/dev/null & done; wait")
            m.shell("echo 3 >/proc/sys/vm/drop_caches; cat /tmp/r0 /tmp/r1 | cmp - /dev/vda", within_s=60)


def test_read_only_disk_discard_and_limits():
    with Files() as files:
        read_only = files.make("fixed", b"do not write here" + bytes(495), mib=1)
        scratch = files.make("scratch", b"\xff" * (2 * MIB))
        devices = (table("disk", module="fixed", readonly=True) + table("disk", module="scratch")
                   + table("disk", module="scratch", iops=50, bandwidth="1MB/s"))
        with Machine(guestconfig.config_text(guest(devices=devices)), {"fixed": read_only, "scratch": scratch}) as m:
            m.prompt()
            equal(m.shell("cat /sys/block/vda/ro"), "1", "read-only")
            equal(m.shell("head -c 17 /dev/vda"), "do not write here")
            equal(m.shell("dd if=/dev/zero of=/dev/vda count=1 2>/dev/null || echo refused"), "refused")
            true(int(m.shell("cat /sys/block/vdb/queue/discard_max_bytes")) > 0, "no discard")
            m.shell("blkdiscard -o 4096 -l 8192 /dev/vdb")
            m.shell("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vdb bs=4096 count=4 of=/tmp/d 2>/dev/null; dd if=/dev/zero bs=4096 count=2 of=/tmp/z 2>/dev/null")
            equal(m.shell("dd if=/tmp/d bs=4096 skip=1 count=2 2>/dev/null | cmp - /tmp/z && echo zero"), "zero")
            equal(m.shell("head -c 1 /tmp/d | od -An -tx1; tail -c 1 /tmp/d | od -An -tx1").split(), ["ff", "ff"], "around it")
            # The third disk has the same module, but is another disk: and a slow one. 100 operations take two seconds at least,
            # less the burst of a tenth of a second.
            equal(m.shell("head -c 4097 /dev/vdc | tail -c 1 | od -An -tx1"), "ff", "the other disk of that module")
            m.shell("blockdev --setra 0 /dev/vdc; echo 3 >/proc/sys/vm/drop_caches")
            spent = m.shell("s=$(cut -d' ' -f1 /proc/uptime); dd if=/dev/vdc of=/dev/null bs=4096 count=100 2>/dev/null; "
                            "echo $s $(cut -d' ' -f1 /proc/uptime)").split()
            took = float(spent[1]) - float(spent[0])
            true(took > 1.6, f"100 operations took {took:.2f} s at 50 a second")


def test_partitions_by_number_label_and_uuid():
    root = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
    with Files() as files:
        image = files.make("disk", gpt(16 * MIB // 512, [(2048, 2048, "first", uuid.UUID(int=1)), (4096, 4096, "root", root)]))
        with open(image, "r+b") as file:
            for place, text in ((2048, b"one"), (4096, b"two")):
                file.seek(place * 512)
                file.write(text)
        devices = (table("disk", module="disk", partition=1, readonly=True)
                   + table("disk", module="disk", partlabel="root", readonly=True)
                   + table("disk", module="disk", partuuid="0FC63DAF-8483-4772-8E79-3D69D8477DE4", readonly=True))
        bad = guest("bad", table("disk", module="disk", partlabel="nowhere"))
        with Machine(guestconfig.config_text(guest(devices=devices), bad), {"disk": image}) as m:
            m.prompt()
            equal(m.shell("for d in a b c; do head -c 3 /dev/vd$d; cat /sys/block/vd$d/size; done").split(),
                  ["one2048", "two4096", "two4096"])
            true("vm bad: disk 0: it has no such partition" in m.text, "the missing partition is not told")


def two_guests(first, second, **keywords):
    """Guest one with 10.0.0.1, at its prompt; guest two with 10.0.0.2 serves files on port 80."""
    cmdline = ('hilum.run="ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; dd if=/dev/urandom of=/tmp/f bs=1M count=8; '
               'cd /tmp; md5sum f >sum; httpd -h /tmp; while :; do sleep 1000; done"')
    return guestconfig.config_text(guest("one", first, **keywords), guest("two", second, cmdline=cmdline, **keywords))


def ping(m, address="10.0.0.2"):
    """Replies to five requests; the other side may still be booting for the first ones."""
    for _ in range(60):
        answer = m.shell(f"ping -c 1 -W 1 {address} >/dev/null && echo yes || echo no", within_s=30)
        if answer == "yes":
            break
    return m.shell(f"ping -A -c 5 -W 2 {address} | grep -c 'bytes from' || true", within_s=60)


def bring_up(m, address="10.0.0.1"):
    m.prompt()
    m.shell(f"ip addr add {address}/24 dev eth0; ip link set eth0 up")


def fetch(m):
    m.shell("cd /tmp; until wget -q -O sum http://10.0.0.2/sum; do sleep 1; done; wget -q -O f http://10.0.0.2/f; md5sum -s -c sum",
            within_s=120)


@quick
def test_two_guests_reach_each_other_through_the_switch():
    with Machine(two_guests(table("nic"), table("nic", ip=["10.0.0.2"]))) as m:
        bring_up(m)
        equal(ping(m), "5", "answers")
        fetch(m)


@long_cases("packed_multi_queue")
@each(packed_multi_queue=(True, 2, {}, {}),
      offloads_at_one_end=(False, 1, {"offload": False}, {}),
      vlan_and_tenant=(False, 1, {"vlan": 7, "tenant": "blue", "bridge": "lab"}, {"vlan": 7, "tenant": "blue", "bridge": "lab"}))
def test_kinds_of_network_cards(packed, queues, first, second):
    cards = [table("nic", num_queues=queues, **keys) for keys in (first, second)]
    with Machine(two_guests(*cards, vcpus=2, packed=packed)) as m:
        bring_up(m)
        if queues > 1:
            equal(m.shell("ls -d /sys/class/net/eth0/queues/rx-* | wc -l"), str(queues), "queues")
        equal(ping(m), "5", "answers")
        fetch(m)


def test_guests_that_may_not_reach_each_other():
    # Guests one and three have the same cards, each on a network of its own; guest two's differ in what keeps them apart.
    same = table("nic", bridge="a") + table("nic", vlan=1) + table("nic", tenant="red") + table("nic")
    apart = table("nic", bridge="b") + table("nic", vlan=2) + table("nic", tenant="blue") + table("nic", ip=["10.0.9.9"])
    up = "for i in 0 1 2 3; do ip addr add 10.0.$i.{}/24 dev eth$i; ip link set eth$i up; done"
    others = [guest(name, cards, cmdline=f'hilum.run="{up.format(number)}; while :; do sleep 1000; done"')
              for name, cards, number in (("two", apart, 2), ("three", same, 3))]
    with Machine(guestconfig.config_text(guest("one", same), *others)) as m:
        m.prompt()
        m.shell(up.format(1))
        for i in range(4):
            equal(ping(m, f"10.0.{i}.3"), "5", f"answers by card {i}")
        equal(m.shell("for i in 0 1 2 3; do ping -c 3 -W 1 10.0.$i.2 & done | grep 'bytes from' || true", within_s=30), "", "answers of the other guest")


def test_entropy_and_balloon():
    with Machine(guestconfig.config_text(guest(rng=True, balloon="64M", memory="256M"))) as m:
        m.prompt()
        equal(m.shell("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng.0")
        equal(m.shell("head -c 4096 /dev/hwrng | wc -c"), "4096")
        # The balloon takes its 64 MiB of the guest's memory, in time.
        m.shell("for i in $(seq 60); do [ $(awk '/MemAvailable/ {print $2}' /proc/meminfo) -lt 140000 ] && break; sleep 1; done; "
                "[ $(awk '/MemAvailable/ {print $2}' /proc/meminfo) -lt 140000 ]", within_s=90)


def overcommitted(*tables):
    return guestconfig.config_text(*tables).replace("[hilum]\n", "[hilum]\novercommit = 300\n", 1)


@long
def test_memory_that_a_guest_frees_is_there_for_another():
    """Free-page reporting: three guests use more than the machine has, one after the other, and the first once more."""
    tables = [guest(name, balloon="2M", memory="700M", memory_min="64M") for name in ("one", "two", "three")]
    with Machine(overcommitted(*tables), memory="1G") as m:
        for i in range(4):
            if i == 3:
                m.send("\x01\x01\x01\n")  # past Hilum's log
            m.prompt()
            m.shell("dd if=/dev/zero of=/tmp/big bs=1M count=320 2>/dev/null; rm /tmp/big; sleep 8", within_s=120)
            m.send("\x01\x01\x01\n")  # to the next guest
        true("crash" not in m.text and "no memory" not in m.text, "a guest had no memory")


@long
def test_what_a_balloon_takes_is_there_for_another():
    """Without free-page reporting: a guest that has used more than half of the machine gives it up, and another uses as much."""
    driver = "/sys/bus/virtio/drivers/virtio_balloon"
    tables = (guest("one", balloon="560M", memory="700M", memory_min="64M", cmdline="page_reporting.page_reporting_order=20"),
              guest("two", memory="700M", memory_min="64M", prefault=False))
    with Machine(overcommitted(*tables), memory="1G") as m:
        m.prompt()
        m.shell(f"cd {driver}; for d in virtio*; do echo $d >unbind; done; cd /", within_s=60)
        m.shell("dd if=/dev/zero of=/tmp/big bs=1M count=450 2>/dev/null; rm /tmp/big", within_s=120)
        m.shell(f"for d in /sys/bus/virtio/devices/*; do [ $(cat $d/device) = 0x0005 ] && echo ${{d##*/}} >{driver}/bind; done; "
                "until [ $(awk '/MemAvailable/ {print $2}' /proc/meminfo) -lt 120000 ]; do sleep 1; done", within_s=120)
        m.send("\x01\x01\x01\n")  # to the other guest
        m.prompt()
        m.shell("dd if=/dev/zero of=/tmp/big bs=1M count=480 2>/dev/null; ls -l /tmp/big | grep -q 503316480; rm /tmp/big", within_s=120)
        true("crash" not in m.text and "no memory" not in m.text, "a guest had no memory")
