"""Every verb of the command line against the appliance, over HTTPS, as an operator uses them."""
import json
import os
import re
import subprocess
import tempfile
import time

import pexpect

from harness import BOOT_S, START_S, Machine, equal, guestconfig, machine, patience, true

HILUM = os.path.join(machine.BUILD, "hilum")
ANSWER_S = 60


class Operator:
    """A workstation that knows the machine's certificate by the fingerprint on its screen, and has its first token."""
    def __init__(self, m, home):
        self.m, self.home = m, home
        token = m.expect(r"first token [^\r\n]*(hilum_[A-Za-z0-9_-]{43})", BOOT_S).group(1)
        fingerprint = m.expect(r"certificate (sha256:[0-9A-F:]{95})", START_S).group(1)
        self.env = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "HILUM_HOST": f"127.0.0.1:{m.api_port}", "HILUM_TOKEN": token,
                    "HILUM_FINGERPRINT": fingerprint}

    def __call__(self, *words, status=0, typed="", **env):
        """Runs hilum while the machine's screen is read; returns its output, and on a failure what it complains of."""
        with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as out:
            into.write(typed.encode())
            into.seek(0)
            process = subprocess.Popen([HILUM, *words], stdin=into, stdout=out, stderr=subprocess.STDOUT, env={**self.env, **env},
                                       cwd=self.home)
            deadline = patience.now() + BOOT_S
            while process.poll() is None:
                self.m.read(0.05)
                if patience.now() > deadline:
                    process.kill()
                    process.wait()
            out.seek(0)
            text = out.read().decode("utf-8", "replace")
        equal(process.returncode, status, f"hilum {' '.join(words)}: {text}: status")
        return text

    def json(self, *words):
        return json.loads(self(*words, "-o", "json"))

    def spawn(self, *words):
        return pexpect.spawn(HILUM, list(words), env=self.env, cwd=self.home, timeout=ANSWER_S, encoding="utf-8", codec_errors="replace")

    def file(self, name, data):
        path = os.path.join(self.home, name)
        with open(path, "wb") as file:
            file.write(data)
        return path


def appliance():
    return Machine(guestconfig.config_text(guestconfig.linux_table(vcpus=1, memory="128M"), on_last_guest_exit="stay"), api=True)


def wait_for_prompt(hilum, name, starts=1):
    """The guest has booted so often: its console shows a shell's greeting for each, and a prompt behind the last."""
    deadline = patience.now() + BOOT_S
    pattern = re.compile(r"(BusyBox v.*?){%d}linux:/\S*# " % starts, re.S)
    while not pattern.search(hilum("console", name, "--log")):
        true(patience.now() < deadline, f"no prompt of {name}")
        time.sleep(1)


def look_around(hilum):
    host = hilum.json("host")
    equal(host["fingerprint"], hilum.env["HILUM_FINGERPRINT"], "fingerprint")
    true("10.0.2.20" in host["addresses"], "its address")
    true(re.search(r"^ linux +running +1 +128 MiB", hilum("list"), re.M), "list")
    true("State:          running" in hilum("dominfo", "linux"), "dominfo")
    true(int(re.search(r"vcpu\.0\.time=(\d+)", hilum("domstats", "linux")).group(1)) > 0, "domstats")
    true(re.search(r"^linux +running +\d", hilum("top", "--once"), re.M), "top")
    true("hilum: SVM" in hilum("dmesg"), "dmesg")
    true("vm.started" in hilum("events"), "events")
    true(re.search(r"^ vmlinuz .* boot ", hilum("images"), re.M), "images")


def command_life(hilum):
    hilum("start", "linux", status=1)
    hilum("suspend", "linux")
    equal(hilum.json("dominfo", "linux")["state"], "paused", "state")
    hilum("resume", "linux")
    hilum("nmi", "linux")
    true("Linux" in hilum("console", "linux", "--tail", "0", "--linger", "5", typed="uname\n"), "what is typed is answered")
    hilum("reset", "linux")
    wait_for_prompt(hilum, "linux", starts=2)
    hilum("destroy", "linux")
    equal(hilum.json("dominfo", "linux")["state"], "shutoff", "state")


def make_a_vm(hilum):
    """From files of the operator's to a VM that has been shut down by its power button and is forgotten again."""
    for name in ("vmlinuz", "initrd"):
        hilum("upload", guestconfig.DEFAULT_GUEST[name], f"my-{name}")
    text = '[[vm]]\nname = "mine"\nkernel = "my-vmlinuz"\ninitrd = "my-initrd"\ncmdline = "console=ttyS0 quiet"\nmemory = "%s"\n'
    path = hilum.file("mine.toml", (text % "3M").encode())
    true(f"{path}:memory: " in hilum("define", path, status=1), "the wrong field is named")
    hilum("define", hilum.file("mine.toml", (text % "128M").encode()))
    console = hilum.spawn("start", "mine", "--console")
    deadline = patience.now() + BOOT_S
    while console.expect([r"linux:/[^\r\n]*# ", pexpect.TIMEOUT], timeout=1) != 0:
        hilum.m.read(0)
        true(patience.now() < deadline, "a prompt at the console")
    console.send("\x1d")
    console.expect(pexpect.EOF)
    console.close()
    equal(console.exitstatus, 0, "status of the console")
    hilum("images", "--delete", "my-vmlinuz", status=1)
    hilum("define", "-", typed=hilum("dumpconfig", "mine").replace("128M", "160M"))
    true(hilum.json("dominfo", "mine")["change_pending"], "the change waits for the next start")
    hilum("shutdown", "mine", "--timeout", str(BOOT_S // 2), "--wait")
    equal(hilum.json("dominfo", "mine")["last_exit"], "poweroff", "how it ended")
    hilum("undefine", "mine")
    hilum("images", "--delete", "my-vmlinuz")


def command_machine(hilum):
    viewer = hilum.json("token", "create", "watch", "--role", "viewer")["token"]
    hilum("list", HILUM_TOKEN=viewer)
    hilum("start", "linux", status=4, HILUM_TOKEN=viewer)
    true(re.search(r"watch +viewer .* 403 +POST", hilum("audit")), "the refusal is in the audit log")
    hilum("token", "delete", "watch")
    hilum("list", status=4, HILUM_TOKEN=viewer)
    hilum("restart-driver")
    deadline = patience.now() + START_S
    while hilum.json("host")["driver_vm"] != {"state": "running", "restarts": 1}:
        true(patience.now() < deadline, "the driver VM is back")
    hilum("login", hilum.env["HILUM_HOST"], "--name", "lab")
    hilum("--host", "lab", "list", "--all", HILUM_HOST="", HILUM_TOKEN="")


def test_every_verb():
    with tempfile.TemporaryDirectory() as home, appliance() as m:
        hilum = Operator(m, home)
        hilum("list", status=5, HILUM_FINGERPRINT="sha256:" + ":".join(["00"] * 32))
        wait_for_prompt(hilum, "linux")
        look_around(hilum)
        command_life(hilum)
        make_a_vm(hilum)
        command_machine(hilum)
        m.settle()
