"""scripts/run as a person uses it: on a terminal, and from other programs."""
import os
import subprocess

import pexpect

from harness import BOOT_S, COMMAND_S, PROMPT, ROOT, Web, equal, machine, true

RUN = os.path.join(ROOT, "scripts", "run")
GUEST = os.path.join(machine.BUILD, "guest")


def on_a_terminal(*arguments):
    return pexpect.spawn(RUN, ["--no-build", *arguments], cwd=ROOT, timeout=COMMAND_S, encoding="utf-8", codec_errors="replace",
                         dimensions=(30, 100))


def test_default_guest_on_a_terminal():
    run = on_a_terminal()
    try:
        run.expect(PROMPT, timeout=BOOT_S)
        run.send("stty size; nproc\n")
        run.expect(r"30 100\r+\n2\r+\n")
        run.expect(PROMPT)
        run.send("sh -c 'echo waiting; exec cat'\n")
        run.expect(r"waiting\r+\n")  # a signal before that would find the shell
        run.send("\x03")  # to the guest, not to run
        run.expect(PROMPT)
        run.send("poweroff\n")
        run.expect("hilum: vm linux ended: poweroff")
        run.expect(pexpect.EOF)
    finally:
        run.close(force=True)
    equal(run.exitstatus, 0, "status")


def test_default_guest_has_a_disk_and_reaches_the_host():
    """What the README promises: the gateway answers, a file comes from the host, and the disk's file system can be mounted."""
    with Web(os.urandom(1 << 20)) as web:
        run = on_a_terminal()
        try:
            run.expect(PROMPT, timeout=BOOT_S)
            for command, answer in (("ping -c1 -W10 10.0.2.2", "1 packets received"),
                                    (f"wget -q -O /tmp/f {web.url}; md5sum /tmp/f", web.sum),
                                    ("mount -t ext4 /dev/vda /mnt && cp /tmp/f /mnt && sync && md5sum /mnt/f", web.sum),
                                    ("umount /mnt && mount -t ext4 /dev/vda /mnt && md5sum /mnt/f", web.sum),
                                    ("rm /mnt/f; umount /mnt; cat /etc/resolv.conf", "nameserver 10.0.100.1")):
                run.send(command + "\n")
                run.expect(answer, timeout=2 * COMMAND_S)
                run.expect(PROMPT)
            run.send("poweroff\n")
            run.expect(pexpect.EOF)
        finally:
            run.close(force=True)
    equal(run.exitstatus, 0, "status")


def test_quit_key_ends_the_run_at_once():
    run = on_a_terminal()
    try:
        run.expect("hilum: ", timeout=BOOT_S)
        run.send("\x1d")
        run.expect("stopped by Ctrl-]")
        run.expect(pexpect.EOF)
    finally:
        run.close(force=True)
    equal(run.exitstatus, machine.EXIT_INTERRUPTED, "status")


def run(*arguments):
    return subprocess.run([RUN, "--no-build", "--headless", "--timeout", str(BOOT_S), *arguments], cwd=ROOT, timeout=BOOT_S * 2,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")


def test_status_of_a_linux_command():
    done = run("--debug-exit", "0xf4", "--cmdline", 'hilum.run="exit 9"')
    equal(done.returncode, 9, f"status ({done.stdout[-400:]} {done.stderr[-200:]})")


def test_guest_file_and_its_status():
    done = run("--guest", os.path.join(GUEST, "neighbour.elf"), "--cmdline", "seconds=2", "--memory", "64M", "--debug-exit", "0xf4")
    equal(done.returncode, 0, f"status ({done.stdout[-400:]} {done.stderr[-200:]})")
    true("guest: 1 passed, 0 failed" in done.stdout, done.stdout[-400:])


def test_guest_that_crashes():
    done = run("--guest", os.path.join(GUEST, "hostile.elf"), "--cmdline", "count=1 end=triple", "--debug-exit", "0xf4")
    equal(done.returncode, machine.EXIT_CRASH, f"status ({done.stdout[-400:]} {done.stderr[-200:]})")


def test_time_out():
    done = run("--timeout", "15", "--guest", os.path.join(GUEST, "neighbour.elf"), "--cmdline", "seconds=600")
    equal(done.returncode, machine.EXIT_TIMEOUT, "status")


def test_configuration_file_with_its_kernel_beside_it():
    with machine.Scratch() as scratch:
        os.link(os.path.join(GUEST, "neighbour.elf"), os.path.join(scratch, "app.elf"))
        config = os.path.join(scratch, "my.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write('[hilum]\non_last_guest_exit = "poweroff"\n[[vm]]\nname = "app"\nkernel = "app.elf"\n'
                       'memory = "64M"\ncmdline = "seconds=1"\ndebug_exit = 0xf4\n')
        done = run("--config", config)
    equal(done.returncode, 0, f"status ({done.stdout[-400:]} {done.stderr[-200:]})")
