"""The driver VM ends, and a fresh one carries on: guests see a pause, never a reset, an error or a lost write."""
import hashlib
import http.server
import os
import random
import threading
import time

from harness import BOOT_S, Machine, bochs, each, equal, guestconfig, long, long_cases, machine, quick, true
from test_devices import AMD, INTEL
from test_drivers import AHCI, NVME, VIRTIO, disk, nic
from test_virtio import MIB, Files, guest, table

CRASH, HANG, ASK = 1, 2, 3  # what to write to the port of debug_crash
WHY = {CRASH: "triple fault", HANG: "no heartbeat", ASK: "asked for"}
PORT = 0xF5
COMPLAINTS = "dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)|is not a head|hung|timed out' || true"
NEVER = "WRONG|cannot|device state|needs a reset|accesses stopped|Kernel panic"
# Writes, syncs, forgets and reads again; the sum is of what was written, not of what was read back.
WRITER = ("mkdir -p /m; mount {} /m; (while :; do dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null; "
          "cat /tmp/a >/m/a; sync; echo 3 >/proc/sys/vm/drop_caches; cmp /tmp/a /m/a || echo WRO''NG; echo x >>/tmp/rounds; done) &")


def kill(m, how, guests=1):
    """Has the driver VM end, from the prompt; returns the milliseconds that it took to carry on, and those of its devices."""
    m.send(f"debug-exit {PORT:#x} {how}\n")
    found = m.expect(f"hilum: driver VM: {WHY[how]}; restarted in (\\d+) ms, of which (\\d+) to stop its devices; "
                     f"{guests} guests? carr(?:y|ies) on", never=NEVER, within_s=60)
    m.prompt()
    return int(found.group(1)), int(found.group(2))


def kill_often(m, times, guests=1):
    rng = random.Random(7)
    took = []
    for _ in range(times):
        took.append(kill(m, rng.choice((CRASH, ASK)), guests))
        time.sleep(rng.uniform(0.1, 0.6))
    print(f"{times} times: carried on after", ", ".join(f"{all_ms - devices_ms}" for all_ms, devices_ms in took),
          "ms beside the reset of devices,", max(devices_ms for _, devices_ms in took), "ms")


def settings(text, **keys):
    """More of [hilum]."""
    lines = "".join(f"{key} = {str(value).lower()}\n" for key, value in keys.items())
    return text.replace("[hilum]\n", "[hilum]\n" + lines)


def rounds(m):
    """The writer has gone on since the last restart."""
    before = int(m.shell("cat /tmp/rounds 2>/dev/null | wc -l"))
    m.shell(f"until [ $(cat /tmp/rounds 2>/dev/null | wc -l) -ge {before + 2} ]; do sleep 0.1; done", within_s=90)
    equal(m.shell(COMPLAINTS), "", "complaints")


@quick
def test_console_survives_a_crash_and_a_hang():
    with Machine(guestconfig.config_text(guest(debug_crash=PORT))) as m:
        m.prompt()
        for how in (CRASH, HANG):
            kill(m, how)
            equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


def test_restarts_have_a_limit():
    with Machine(settings(guestconfig.config_text(guest(debug_crash=PORT)), driver_restarts=1)) as m:
        m.prompt()
        kill(m, CRASH)
        m.send(f"debug-exit {PORT:#x} {CRASH}\n")
        m.expect("hilum: driver VM: triple fault, and restarted 1 times within a minute: given up; guests wait")


@each(split=(False,), packed=(True,))
@long_cases("packed")
def test_ram_disk_under_load(packed):
    with Files() as files:
        tables = guest(vcpus=2, devices=table("disk", module="disk"), debug_crash=PORT, packed=packed)
        with Machine(settings(guestconfig.config_text(tables), driver_restarts=100), {"disk": files.ext4("disk", 48)}) as m:
            m.prompt()
            m.send(WRITER.format("/dev/vda") + "\n")
            m.prompt()
            kill_often(m, 8)
            rounds(m)


# A stream of random bytes to the peer, which answers with their sum when it ends.
PEER = guest("peer", table("nic"), vcpus=1, memory="128M",
             cmdline='hilum.run="ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; while :; do nc -l -p 99 -e md5sum; done"')
STREAM = ("ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; mkfifo /tmp/f; md5sum </tmp/f >/tmp/mine & "
          "until ping -c 1 -W 1 10.0.0.2 >/dev/null; do :; done; "
          "(while [ ! -e /tmp/stop ]; do dd if=/dev/urandom bs=16k count=2 2>/dev/null; done) | tee /tmp/f | nc 10.0.0.2 99 >/tmp/theirs & true")


def transfer_completes(m):
    m.shell("touch /tmp/stop; until [ -s /tmp/theirs ]; do sleep 0.1; done", within_s=120)
    equal(m.shell("cut -c-32 /tmp/theirs"), m.shell("cut -c-32 /tmp/mine"), "the sum at the other end")


@each(split=(False,), packed=(True,))
@long_cases("split")
def test_tcp_between_guests(packed):
    tables = (guest(vcpus=2, devices=table("nic", rate="4MB/s"), debug_crash=PORT, packed=packed), PEER)
    with Machine(settings(guestconfig.config_text(*tables), driver_restarts=100), memory="2G") as m:
        m.prompt()
        m.shell(STREAM, within_s=90)
        kill_often(m, 8, guests=2)
        transfer_completes(m)


def disk_and_tcp(times, iommu, device, driver_says, properties):
    with Files() as files:
        image = files.ext4("disk", 48)
        tables = (guest(vcpus=2, devices=table("disk", device="00:06.0") + table("nic", rate="4MB/s"), debug_crash=PORT), PEER)
        with Machine(settings(guestconfig.config_text(*tables), driver_restarts=1000), memory="2G",
                     extra=(*iommu, *disk(image, device, **properties))) as m:
            m.expect(f"hilum: device 00:06.0: {driver_says}, 48 MiB", BOOT_S)
            m.prompt()
            m.shell(STREAM, within_s=90)
            m.send(WRITER.format("/dev/vda") + "\n")
            m.prompt()
            kill_often(m, times, guests=2)
            rounds(m)
            transfer_completes(m)


@each(nvme_vtd=(INTEL, *NVME), virtio_amdvi=(AMD, *VIRTIO), ahci_vtd=(INTEL, *AHCI))
@long_cases("virtio_amdvi", "ahci_vtd")
def test_acknowledged_writes_and_a_tcp_transfer(*arguments):
    disk_and_tcp(20, *arguments)


@long
@each(nvme_amdvi=(AMD, *NVME), virtio_vtd=(INTEL, *VIRTIO), ahci_amdvi=(AMD, *AHCI))
def test_a_hundred_times(*arguments):
    disk_and_tcp(100, *arguments)


def test_console_survives_under_vmx():
    if bochs.is_debian(bochs.program()):  # 2.7 stops at a guest's triple fault
        return
    with Machine(settings(guestconfig.config_text(guest(debug_crash=PORT)), driver_restarts=100), emulator="bochs", cpu="tigerlake") as m:
        m.prompt(within_s=300)
        for how in (CRASH, ASK, HANG, CRASH):
            kill(m, how)
            equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")


@long
@each(split=(False,), packed=(True,))
def test_console_entropy_balloon_and_the_guests_end(packed):
    """The other devices go on as well, and what ends a guest still does."""
    table = guest(vcpus=2, serial=False, console="virtio", cmdline="console=hvc0", rng=True, balloon="16M", packed=packed, debug_crash=PORT)
    with Machine(settings(guestconfig.config_text(table), driver_restarts=100)) as m:
        for end in ("reboot", "poweroff"):
            m.prompt()
            m.send("(while :; do head -c 1000 /dev/hwrng | wc -c >>/tmp/got; done) & (while :; do seq 200 >/dev/hvc0; sleep 0.2; done) & \n")
            for how in (CRASH, ASK, CRASH):
                m.send(f"debug-exit {PORT:#x} {how}\n")
                m.expect(f"hilum: driver VM: {WHY[how]}; restarted", never=NEVER, within_s=60)
                time.sleep(0.5)
            m.send("kill %2; sleep 1; echo; echo GO''NE\n")
            m.expect("GONE", within_s=60)
            m.prompt()
            true(int(m.shell("grep -c '^1000$' /tmp/got")) > 0, "random bytes")
            m.shell("n=$(wc -l </tmp/got); until [ $(wc -l </tmp/got) -gt $((n + 2)) ]; do sleep 0.1; done")
            m.send(f"{end}\n")
        equal(m.finish(60), 0, "status")


@each(vtd=(INTEL, "virtio"), amdvi=(AMD, "virtio"), e1000e_vtd=(INTEL, "e1000e"))
@long_cases("vtd", "e1000e_vtd")
def test_a_download_from_the_host(iommu, kind):
    """By way of a network card of the machine, which is reset with each restart."""
    data = os.urandom(12 * MIB)
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {
        "do_GET": lambda self: (self.send_response(200), self.send_header("Content-Length", str(len(data))), self.end_headers(),
                                [(self.wfile.write(data[i:i + 65536]), time.sleep(0.05)) for i in range(0, len(data), 65536)]),
        "log_message": lambda self, *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = settings(guestconfig.config_text(guest(vcpus=2, devices=table("nic"), debug_crash=PORT)), driver_restarts=1000)
        with Machine(text + "\n[[nic]]\ndevice = '00:07.0'\n", extra=(*iommu, *nic(kind))) as m:
            m.prompt()
            m.shell("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ping -c 1 -W 5 10.0.2.2")
            m.shell(f"(wget -q -O /tmp/f http://10.0.2.2:{server.server_address[1]}/f; echo $? >/tmp/status) & true")
            kill_often(m, 8)
            m.shell("until [ -e /tmp/status ]; do sleep 0.1; done", within_s=120)
            equal(m.shell("cat /tmp/status; md5sum /tmp/f | cut -d' ' -f1").split(), ["0", hashlib.md5(data).hexdigest()], "the download")
        server.shutdown()


@long
def test_memory_that_goes_and_comes_back():
    """A guest reports what it frees, and its balloon goes down and up, while the driver VM ends: nothing that it uses is ever taken."""
    balloon = "/sys/bus/virtio/drivers/virtio_balloon"
    memory = (f"b=$(cd {balloon}; echo virtio*); (while :; do dd if=/dev/urandom of=/tmp/keep bs=1M count=8 2>/dev/null; md5sum /tmp/keep >/tmp/k; "
              "dd if=/dev/zero of=/tmp/big bs=1M count=80 2>/dev/null; rm /tmp/big; sleep 2; "
              f"echo $b >{balloon}/unbind; md5sum -s -c /tmp/k || echo WRO''NG; echo $b >{balloon}/bind; sleep 1; "
              "md5sum -s -c /tmp/k || echo WRO''NG; echo x >>/tmp/turns; done) & ")
    with Files() as files:
        tables = guest(vcpus=2, memory="384M", prefault=False, balloon="96M", devices=table("disk", module="disk"), debug_crash=PORT)
        with Machine(settings(guestconfig.config_text(tables), driver_restarts=100), {"disk": files.ext4("disk", 48)}) as m:
            m.prompt()
            m.send(memory + WRITER.format("/dev/vda") + "\n")
            m.prompt()
            kill_often(m, 12)
            rounds(m)
            m.shell("n=$(cat /tmp/turns | wc -l); until [ $(cat /tmp/turns | wc -l) -gt $((n + 1)) ]; do sleep 0.2; done", within_s=180)
            equal(m.shell("dmesg | grep -cE 'Bad page|orrupt|BUG:' || true"), "0", "complaints about memory")


@each(ram_disk=((), (), {"module": "disk"}, 200), nvme=(INTEL, NVME, {"device": "00:06.0"}, 400))
def test_time_from_kill_to_traffic(iommu, device, where, most_ms):
    """By the guest's clock, where an instruction takes a nanosecond: from the write that kills to a block that was read."""
    script = (f"for i in 1 2 3 4 5; do sleep 0.5; read a x </proc/uptime; debug-exit {PORT:#x} {CRASH}; dd if=/dev/vda of=/dev/null "
              "bs=4096 count=1 iflag=direct 2>/dev/null; read b x </proc/uptime; echo took $a $b; done")
    with Files() as files:
        image = files.ext4("disk", 24)
        extra = (*iommu, *disk(image, device[0], **device[2])) if device else ()
        tables = guest(vcpus=1, devices=table("disk", **where), debug_crash=PORT, cmdline=f'hilum.run="{script}"')
        with Machine(settings(guestconfig.config_text(tables), driver_restarts=100), {"disk": image}, smp=1, counted=True, extra=extra) as m:
            took = [m.expect(r"took (\d+)\.(\d\d) (\d+)\.(\d\d)\r", BOOT_S, never=NEVER).groups() for _ in range(5)]
        took = [10 * (int(t[2] + t[3]) - int(t[0] + t[1])) for t in took]
        print("kill to traffic:", ", ".join(str(ms) for ms in took), "ms of emulated time")
        true(max(took) <= most_ms, "it takes too long")


@long
def test_guest_that_restarts_while_the_driver_vm_hangs():
    """What the control VM asks of the driver VM meanwhile has no answer; the guest starts with the next one."""
    two = ('hilum.run="ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; nc -l -p 99; reboot -f"')
    tables = (guest("one", table("nic"), vcpus=1, debug_crash=PORT), guest("two", table("nic"), vcpus=1, memory="128M", cmdline=two))
    with Machine(guestconfig.config_text(*tables), memory="2G") as m:
        m.prompt()
        m.shell("ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; until ping -c 1 -W 1 10.0.0.2 >/dev/null; do :; done", within_s=90)
        m.send(f"until echo x | nc 10.0.0.2 99; do sleep 0.2; done; debug-exit {PORT:#x} {HANG}\n")
        m.expect(r"hilum: driver VM: no (heartbeat|answer); restarted in", within_s=120, never="Kernel panic")
        m.prompt()
        m.shell("until ping -c 1 -W 1 10.0.0.2 >/dev/null; do :; done", within_s=120)
        true(m.text.count("hilum: vm two ended: reset") == 1, "the other guest restarts once")


@each(svm=("qemu", {"smp": 1}), vmx=("bochs", {"smp": 1, "cpu": "corei7_icelake_u"}))
def test_service_vm_writes_no_text_and_executes_no_data(emulator, hardware):
    """A program in the control VM's place tries what no page of it allows, and ends each time."""
    control = {"control": os.path.join(machine.BUILD, "write_or_execute.bin")}
    with Machine(None, control, linux=False, without=("control", "driver"), emulator=emulator, **hardware) as m:
        for number in range(5):
            m.expect(f"write_or_execute: attempt {number}\r", BOOT_S, never="has succeeded")
            m.expect(f"vm control: it is restarted from its module, for the {number + 1}. time", BOOT_S, never="has succeeded")
        m.expect("write_or_execute: end", BOOT_S, never="has succeeded")
