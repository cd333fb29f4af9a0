"""Debian's own kernel as a guest: from every medium and firmware to its prompt, and what works there."""
import time

from harness import BOOT_S, Machine, each, equal, guestconfig, linux, long, quick, true


def log_in_and_off(m, vcpus):
    m.prompt()
    equal(m.shell("nproc"), str(vcpus), "nproc")
    m.send("poweroff\n")
    m.expect(r"hilum: vm linux ended: poweroff")
    equal(m.finish(), 0, "status")


@quick
def test_shell_on_2_vcpus():
    with Machine(linux(vcpus=2)) as m:
        log_in_and_off(m, 2)


@each(**{
    "1-vcpu_1-core_bios_cd": (1, 1, "bios", "cd"),
    "4-vcpus_4-cores_bios_cd": (4, 4, "bios", "cd"),
    "4-vcpus_1-core_bios_cd": (4, 1, "bios", "cd"),
    "2-vcpus_2-cores_uefi_cd": (2, 2, "uefi", "cd"),
    "2-vcpus_2-cores_bios_usb": (2, 2, "bios", "usb"),
    "2-vcpus_2-cores_uefi_usb": (2, 2, "uefi", "usb"),
    "2-vcpus_2-cores_bios_pxe": (2, 2, "bios", "pxe"),
    "4-vcpus_4-cores_uefi_pxe": (4, 4, "uefi", "pxe"),
})
def test_boots_to_a_shell(vcpus, cores, firmware, boot):
    with Machine(linux(vcpus=vcpus), smp=cores, firmware=firmware, boot=boot) as m:
        log_in_and_off(m, vcpus)


def test_shell_commands():
    with Machine(linux(vcpus=2)) as m:
        m.prompt()
        equal(m.shell("echo $((6 * 7))"), "42")
        true("/dev/ttyS0" in m.shell("tty"), "the shell is not on the serial line")
        # Every vCPU works, and takes interrupts.
        equal(m.shell("for c in 0 1; do taskset $((1 << c)) sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i'; done"),
              "20000\n20000")
        timer = m.shell("grep -i 'LOC:' /proc/interrupts").split()
        true(int(timer[1]) > 0 and int(timer[2]) > 0, f"a vCPU without timer interrupts: {timer}")
        # Memory: what was written is what is read, over more than any cache.
        equal(m.shell("dd if=/dev/urandom of=/tmp/a bs=1M count=32 2>/dev/null; cp /tmp/a /tmp/b; cmp /tmp/a /tmp/b && echo same",
                      within_s=60), "same")
        # Time: a second of the guest's is a second of ours, to what an emulator under load can promise.
        start = time.monotonic()
        m.shell("sleep 5")
        elapsed = time.monotonic() - start
        true(4.5 < elapsed < 15, f"sleep 5 took {elapsed:.1f} s")
        # Nothing that Linux complains of, but that a CPU without an invariant TSC may not promise one.
        complaints = m.shell("dmesg | grep -iE 'BUG:|WARNING:|Oops|soft lockup|rcu.*stall|irq .*nobody cared' || true")
        equal(complaints, "", "complaints in the kernel's log")
        m.send("poweroff\n")
        equal(m.finish(), 0, "status")


def test_serial_line_takes_long_input_and_output():
    with Machine(linux(vcpus=1)) as m:
        m.prompt()
        line = "x" * 900
        equal(m.shell(f"printf %s {line} | wc -c"), "900")
        numbers = m.shell("seq 1 3000", within_s=60).split()
        equal(numbers, [str(i) for i in range(1, 3001)], "3000 numbers")


def test_ctrl_c_interrupts_a_command():
    with Machine(linux(vcpus=2)) as m:
        m.prompt()
        m.send("sleep 1000\n")
        m.expect("sleep 1000")
        time.sleep(1)
        m.send("\x03")
        m.prompt(10)
        equal(m.shell("true; echo alive"), "alive")


def test_reboot_starts_the_vm_again():
    with Machine(linux(vcpus=2)) as m:
        m.prompt()
        m.shell("touch /tmp/mark")
        m.send("reboot\n")
        m.expect(r"hilum: vm linux ended: reset")
        m.prompt()
        equal(m.shell("ls /tmp"), "", "/tmp after the reboot")
        m.send("poweroff\n")
        equal(m.finish(), 0, "status")


def test_command_runs_and_its_status_comes_out():
    with Machine(linux(cmdline='hilum.run="exit 37" hilum.debug_exit=0xf4', debug_exit=0xF4)) as m:
        m.expect("guest: command ended with status 37", BOOT_S)
        equal(m.finish(), 37, "status")


def test_virtio_console():
    with Machine(linux(vcpus=2, cmdline="console=hvc0", console="virtio")) as m:
        m.prompt()
        true("/dev/hvc0" in m.shell("tty"), "the shell is not on the virtio console")
        equal(len(m.shell("seq 1 2000", within_s=60).split()), 2000, "numbers")
        m.send("poweroff\n")
        equal(m.finish(), 0, "status")


@long
def test_smallest_and_a_large_guest():
    tables = [guestconfig.linux_table(name="small", memory="128M", vcpus=1, cmdline='hilum.run="grep MemTotal /proc/meminfo"'),
              guestconfig.linux_table(name="large", memory="4G", vcpus=2,
                                      cmdline='hilum.run="dd if=/dev/zero of=/tmp/z bs=1M count=1500; free -m"')]
    with Machine(guestconfig.config_text(*tables), memory="6G") as m:
        equal(m.finish(BOOT_S * 2), 0, "status")
        equal(m.verdict.ends, {"small": ("poweroff", None), "large": ("poweroff", None)}, "ends")


def test_two_guests_share_the_machine_and_the_serial_line():
    tables = [guestconfig.linux_table(name=name, vcpus=2) for name in ("one", "two")]
    with Machine(guestconfig.config_text(*tables)) as m:
        m.prompt()
        m.shell("touch /tmp/one")
        m.send("\x01\x01\x01")  # to the second guest
        m.expect(r'"two"')
        m.send("\n")
        m.prompt()
        equal(m.shell("ls /tmp/one 2>/dev/null | wc -l"), "0", "files of the first guest seen in the second")
        m.send("poweroff\n")
        m.expect("hilum: vm two ended: poweroff")


@quick
def test_one_gigabyte_machine_on_other_cpu_model():
    with Machine(linux(vcpus=2), cpu="EPYC") as m:
        log_in_and_off(m, 2)


def test_256_mib_machine():
    with Machine(linux(vcpus=1, memory="128M"), memory="256M") as m:
        log_in_and_off(m, 1)


@long
def test_ten_reboots():
    with Machine(linux(vcpus=4), smp=4) as m:
        for _ in range(10):
            m.prompt()
            m.send("reboot\n")
            m.expect("ended: reset")
        log_in_and_off(m, 4)
