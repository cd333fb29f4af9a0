"""Every verb against the simulator: the API as the control VM has it, behind TLS, with a manager that has no machine."""
import json
import os
import re
import socket
import subprocess
import time

from workstation import HILUM, LIMIT_S, Proxy, Simulator, Workstation


class Verbs(Workstation):
    def setUp(self):
        super().setUp()
        self.simulator = Simulator(self.home)
        self.addCleanup(self.simulator.close)
        self.proxy = Proxy(self.simulator.port, *self.certificate)
        self.addCleanup(self.proxy.close)
        self.trust(self.proxy.authority, self.certificate[0])
        self.env |= {"HILUM_HOST": self.proxy.authority, "HILUM_TOKEN": self.simulator.token}

    def test_list_of_hundreds(self):
        folder = os.path.join(self.home, "crowd")
        os.mkdir(folder)
        crowd = Simulator(folder, vms=500)
        self.addCleanup(crowd.close)
        proxy = Proxy(crowd.port, *self.certificate)
        self.addCleanup(proxy.close)
        self.trust(proxy.authority, self.certificate[0])
        self.env |= {"HILUM_HOST": proxy.authority, "HILUM_TOKEN": crowd.token}
        self.assertEqual(len(self.rows("list", "--all")), 500)
        self.assertEqual(len(json.loads(self.hilum("list", "--all", "-o", "json")[0])["vms"]), 500)

    def state(self, name):
        return json.loads(self.hilum("dominfo", name, "-o", "json")[0])["state"]

    def wait_for(self, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def rows(self, *words):
        """The rows of a table, as lists of cells."""
        lines = self.hilum(*words)[0].splitlines()
        self.assertRegex(lines[1], "^-+$")
        self.assertTrue(all(len(line) <= 100 for line in lines))
        return [re.split(r"  +", line.strip()) for line in lines[2:]]

    def define(self, name, **keys):
        self.hilum("define", "-", stdin=json.dumps({"name": name, "kernel": "vmlinuz", "memory": "64M", **keys}).encode())

    def test_list_has_virsh_s_states_and_filters(self):
        out, _ = self.hilum("list", "--all")
        self.assertEqual(out.splitlines()[0].split(), ["Name", "State", "vCPUs", "Memory", "CPU", "time", "Uptime"])
        self.assertEqual([row[:4] for row in self.rows("list", "--all")],
                         [["linux", "running", "2", "512 MiB"], ["spare", "shut off", "2", "512 MiB"]])
        self.assertEqual([row[0] for row in self.rows("list")], ["linux"])
        self.assertEqual(self.hilum("list", "--inactive", "--names")[0], "spare\n")
        vms = json.loads(self.hilum("list", "--all", "-o", "json")[0])["vms"]
        self.assertEqual([(vm["name"], vm["state"]) for vm in vms], [("linux", "running"), ("spare", "shutoff")])

    def test_the_life_of_a_vm(self):
        self.define("web")
        self.assertEqual(self.hilum("start", "web")[0], "Domain 'web' started\n")
        _, err = self.hilum("start", "web", status=1)
        self.assertRegex(err, "^error: Failed to start domain 'web'\nerror: .*running")
        self.assertEqual(self.hilum("suspend", "web")[0], "Domain 'web' suspended\n")
        self.assertEqual(self.state("web"), "paused")
        self.assertEqual(self.hilum("resume", "web")[0], "Domain 'web' resumed\n")
        self.hilum("resume", "web", status=1)
        self.assertEqual(self.hilum("nmi", "web")[0], "Domain 'web' has been sent an NMI\n")
        self.assertEqual(self.hilum("reset", "web")[0], "Domain 'web' was reset\n")
        self.assertEqual(self.hilum("reboot", "web")[0], "Domain 'web' is being rebooted\n")
        self.wait_for(lambda: json.loads(self.hilum("dominfo", "web", "-o", "json")[0])["starts"] >= 2 and self.state("web") == "running")
        self.assertEqual(self.hilum("shutdown", "web", "--wait", "--timeout", "60")[0], "Domain 'web' has ended\n")
        self.assertEqual(self.state("web"), "shutoff")
        self.hilum("start", "web")
        self.hilum("undefine", "web", status=1)
        self.assertEqual(self.hilum("destroy", "web")[0], "Domain 'web' destroyed\n")
        self.hilum("destroy", "web", status=1)
        self.assertEqual(self.hilum("undefine", "web")[0], "Domain 'web' has been undefined\n")
        _, err = self.hilum("dominfo", "web", status=1)
        self.assertIn('no VM "web"', err)

    def test_core_files_autostart_and_vcpus(self):
        self.define("web", vcpus_max=4, balloon="4K")
        self.hilum("start", "web")
        core = self.path("web.core")
        self.assertIn("paused", self.hilum("dump", "web", core, status=1)[1])
        self.assertFalse(os.path.exists(core))
        self.hilum("suspend", "web")
        self.assertEqual(self.hilum("dump", "web", core)[0], f"Domain 'web' dumped to {core}\n")
        with open(core, "rb") as file:
            self.assertEqual((file.read(4), os.path.getsize(core)), (b"\x7fELF", 20000))
        self.hilum("dump", "web", "/nonexistent/core", status=2)
        self.assertEqual(self.hilum("setvcpus", "web", "3")[0], "Domain 'web' is asked to have 3 vCPUs\n")
        self.assertEqual(json.loads(self.hilum("dominfo", "web", "-o", "json")[0])["vcpus"], 3)
        self.assertIn("from 1 to 4", self.hilum("setvcpus", "web", "5", status=1)[1])
        self.hilum("setvcpus", "web", "many", status=2)
        self.assertEqual(self.hilum("setmem", "web", "32M")[0], "Domain 'web' is asked to have 32M of its memory\n")
        self.assertEqual(json.loads(self.hilum("dominfo", "web", "-o", "json")[0])["stats"]["memory"]["balloon_bytes"], 32 << 20)
        self.hilum("setmem", "web", "65M", status=1)
        self.hilum("setmem", "web", "much", status=2)
        self.assertEqual(self.hilum("autostart", "web")[0], "Domain 'web' marked as autostarted\n")
        self.assertTrue(json.loads(self.hilum("dominfo", "web", "-o", "json")[0])["autostart"])
        self.assertEqual(self.hilum("autostart", "web", "--disable")[0], "Domain 'web' unmarked as autostarted\n")
        self.assertFalse(json.loads(self.hilum("dominfo", "web", "-o", "json")[0])["autostart"])
        self.hilum("autostart", "web", "none", status=1)

    def test_the_share_of_the_cores_is_shown_and_changed(self):
        out, _ = self.hilum("schedinfo", "linux")
        self.assertEqual([line.split() for line in out.splitlines()],
                         [["weight:", "256"], ["cap:", "0"], ["reservation:", "0"], ["cpus:", "all"], ["dedicated:", "no"]])
        changed = json.loads(self.hilum("schedinfo", "linux", "--weight", "512", "--cap", "150", "-o", "json")[0])
        self.assertEqual(changed, {"weight": 512, "cap": 150, "reservation": 0, "cpus": "all", "dedicated": False})
        _, err = self.hilum("schedinfo", "linux", "--cap", "201", status=1)
        self.assertIn("error: Failed to change the schedule\n", err)
        self.assertIn("more than its vCPUs can use (200)", err)
        self.hilum("schedinfo", "linux", "--cap", "0")
        pinned = json.loads(self.hilum("vcpupin", "linux", "2,3", "--dedicated", "-o", "json")[0])
        self.assertEqual((pinned["cpus"], pinned["dedicated"]), ("2-3", True))
        self.hilum("vcpupin", "linux", "--dedicated", status=2)
        self.assertIn("cpus:           all", self.hilum("vcpupin", "linux", "all")[0])
        self.assertEqual([row[:2] for row in self.rows("vcpuinfo", "linux")], [["0", "0"], ["1", "1"]])
        self.assertIn("it does not run", self.hilum("vcpuinfo", "spare", status=1)[1])

    def test_memory_limits_of_a_running_vm(self):
        self.assertRegex(self.hilum("memtune", "linux")[0], r"hard_limit +: \d+ KiB\nmin_guarantee +: \d+ KiB\nresident")
        limits = json.loads(self.hilum("memtune", "linux", "--max", "128M", "--min", "64M", "-o", "json")[0])
        self.assertEqual((limits["max_bytes"], limits["min_bytes"]), (128 << 20, 64 << 20))
        self.hilum("memtune", "linux", "--max", "much", status=2)
        self.assertIn("max_bytes", self.hilum("memtune", "linux", "--max", "1T", status=1)[1])
        self.assertIn("it does not run", self.hilum("memtune", "spare", status=1)[1])

    def test_shutdown_pulls_the_plug_of_a_guest_that_does_not_listen(self):
        self.define("deaf", cmdline="ignore-button")
        self.hilum("start", "deaf")
        self.assertEqual(self.hilum("shutdown", "deaf")[0], "Domain 'deaf' is being shutdown\n")
        self.hilum("shutdown", "deaf", "--timeout", "1", "--wait")
        self.assertEqual(self.state("deaf"), "shutoff")
        self.hilum("start", "deaf")
        self.hilum("shutdown", "deaf", "--force")
        self.assertEqual(self.state("deaf"), "shutoff")

    def test_several_names_are_all_done_and_the_first_failure_counts(self):
        out, err = self.hilum("start", "none", "spare", "linux", status=1)
        self.assertEqual(out, "Domain 'spare' started\n")
        self.assertEqual(err.count("Failed to start"), 2)

    def test_json_of_an_action_is_the_api_s(self):
        self.assertEqual(json.loads(self.hilum("suspend", "linux", "-o", "json")[0]), {"name": "linux", "state": "paused"})

    def test_define_refuses_what_the_machine_refuses(self):
        path = self.path("web.toml", '[[vm]]\nname = "web"\nkernel = "vmlinuz"\nmemory = "3M"\n')
        _, err = self.hilum("define", path, status=1)
        self.assertIn(f'{path}:memory: "3M" is not', err)
        self.assertIn("line 4", err)
        path = self.path("web.toml", '[[vm]]\nname = "web"\nkernel = "vmlinuz"\n[[vm.disk]]\nmodule = "disk.img"\niops = 0\n')
        _, err = self.hilum("define", path, status=1)
        self.assertIn(f"{path}:disk[0].iops: ", err)
        self.assertIn("line 6", err)

    def test_what_is_dumped_is_the_same_definition(self):
        self.define("web", disk=[{"module": "disk.img", "bandwidth": "50MB/s"}], nic=[{"ip": ["10.0.100.5"]}], cpus="0-1",
                    cmdline='a "b"\\')
        before = json.loads(self.hilum("dominfo", "web", "-o", "json")[0])
        out, _ = self.hilum("dumpconfig", "web")
        self.hilum("define", "-", stdin=out.encode())
        after = json.loads(self.hilum("dominfo", "web", "-o", "json")[0])
        self.assertEqual((before["config"], before["version"]), (after["config"], after["version"]))
        self.assertEqual(self.hilum("check", "-", stdin=out.encode())[0].splitlines()[1], "  web: kernel vmlinuz, 64M, 1 vCPU")
        self.hilum("define", "--new", "-", stdin=out.encode(), status=1)

    def test_edit_against_the_real_precondition(self):
        meanwhile = f"{HILUM} dumpconfig spare | sed 's/512M/1G/' | {HILUM} define - >&2"
        editor = self.path("editor", f"#!/bin/sh\n{meanwhile}\nsed -i 's/512M/256M/' \"$1\"\n")
        os.chmod(editor, 0o700)
        _, err = self.hilum("define", "--edit", "spare", status=1, EDITOR=editor, TMPDIR=self.home)
        self.assertIn("your text is kept", err)
        self.assertEqual(json.loads(self.hilum("dominfo", "spare", "-o", "json")[0])["config"]["memory"], "1G")

    def test_dominfo_and_domstats(self):
        info = dict(re.split(r": +", line, maxsplit=1) for line in self.hilum("dominfo", "linux")[0].splitlines())
        self.assertEqual((info["Name"], info["State"], info["CPU(s)"], info["Max memory"]), ("linux", "running", "2", "524288 KiB"))
        out, _ = self.hilum("domstats", "linux")
        self.assertTrue(out.startswith("Domain: 'linux'\n  state.state=1\n"))
        figures = dict(line.strip().split("=") for line in out.splitlines()[1:])
        for key in ("cpu.time", "balloon.maximum", "vcpu.0.time", "vcpu.1.exits.halt", "net.0.rx.bytes", "block.0.rd.reqs"):
            self.assertRegex(figures[key], r"^\d+$")
        self.assertEqual(figures["vcpu.current"], "2")
        out, _ = self.hilum("domstats")
        self.assertEqual(re.findall(r"Domain: '(\w+)'", out), ["linux", "spare"])
        self.assertIn("vcpus", json.loads(self.hilum("domstats", "linux", "-o", "json")[0]))

    def test_top(self):
        lines = self.hilum("top", "--once")[0].splitlines()
        self.assertTrue(all(len(line) <= 80 for line in lines), lines)
        self.assertEqual(lines[2].split()[:2], ["linux", "running"])
        self.assertGreater(float(lines[2].split()[2]), 0)
        vms = {vm["name"]: vm for vm in json.loads(self.hilum("top", "--once", "-o", "json")[0])["vms"]}
        self.assertGreater(vms["linux"]["exits_per_second"], 0)
        self.assertEqual(vms["spare"]["cpu_percent"], 0)
        child = self.spawn("top", "--delay", "1")
        for _ in range(2):
            child.expect_exact("\x1b[H")
            child.expect_exact("linux ")
        child.send("q")
        child.wait()
        self.assertEqual(child.exitstatus, 0)

    def test_uploads(self):
        data = os.urandom(3 << 20)
        path = self.path("kernel.bin", data)
        self.assertEqual(self.hilum("upload", path)[0], "Image 'kernel.bin' uploaded (3 MiB)\n")
        self.hilum("upload", path, "other")
        rows = {row[0]: row[1:] for row in self.rows("images")}
        self.assertEqual(rows["other"], ["3 MiB", "upload", "complete", "0"])
        self.assertEqual(rows["vmlinuz"][1], "boot")
        self.define("web", kernel="other")
        self.hilum("start", "web")
        self.hilum("images", "--delete", "other", status=1)
        self.hilum("destroy", "web")
        self.assertEqual(self.hilum("images", "--delete", "other")[0], "Image 'other' removed\n")
        self.hilum("images", "--delete", "other", status=1)
        _, err = self.hilum("upload", path, "vmlinuz", status=1)
        self.assertIn("Failed to upload image 'vmlinuz'", err)

    def test_an_upload_at_a_terminal_has_a_bar(self):
        child = self.spawn("upload", self.path("big.img", b"\0" * (48 << 20)))
        child.expect(r"big\.img +\[#*\.*\] +\d+%")
        child.expect_exact("Image 'big.img' uploaded (48 MiB)")
        child.wait()
        self.assertEqual(child.exitstatus, 0)

    def test_consoles(self):
        out, _ = self.hilum("console", "linux", "--tail", "0", stdin=b"echo hello\n")
        self.assertIn("\r\nhello\r\n", out)
        self.assertIn("hello", self.hilum("console", "linux", "--log")[0])
        self.assertEqual(len(self.hilum("console", "linux", "--log", "--tail", "7")[0]), 7)
        child = self.spawn("console", "linux")
        child.expect_exact("hello")
        child.send("uname\r")
        child.expect_exact("Linux")
        child.send("\x1d")
        child.wait()
        self.assertEqual(child.exitstatus, 0)
        child = self.spawn("start", "spare", "--console")
        child.expect_exact("Linux version")
        child.send("poweroff\r")
        self.wait_for(lambda: self.state("spare") == "shutoff")
        self.hilum("start", "spare")
        child.expect_exact("Linux version")
        child.send("\x1d")
        child.wait()
        self.assertEqual(child.exitstatus, 0)
        self.hilum("console", "none", status=1)

    def test_a_console_takes_a_flood(self):
        out, _ = self.hilum("console", "linux", "--tail", "0", stdin=b"flood 20000\n")
        self.assertEqual(re.findall(r"line (\d+)", out), [str(number) for number in range(20000)])

    def test_events_and_log(self):
        self.hilum("start", "spare")
        lines = self.hilum("events")[0].splitlines()
        self.assertRegex(lines[-1], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +\d+  vm\.started +spare")
        last = json.loads(self.hilum("events", "-o", "json")[0])["last"]
        self.assertEqual(self.hilum("events", "--since", str(last))[0], "")
        follower = subprocess.Popen([HILUM, "events", "--follow"], env=self.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        for _ in lines:
            follower.stdout.readline()
        self.hilum("destroy", "spare")
        self.assertRegex(follower.stdout.readline(), r"vm\.\w+ +spare")
        self.assertIn("line of log", self.hilum("dmesg")[0])
        child = self.spawn("dmesg", "--follow")
        child.expect_exact("line of log")
        child.sendintr()
        child.wait()
        self.assertEqual(child.exitstatus, None)

    def test_the_machine(self):
        out, _ = self.hilum("host")
        for pattern in (r"Name: +simulator", r"CPU\(s\): +\d+", r"Fingerprint: +sha256:", r"Driver VM: +running"):
            self.assertRegex(out, pattern)
        self.assertIn("fingerprint", json.loads(self.hilum("host", "-o", "json")[0]))
        self.assertRegex(out, r"Not promised: +\d")
        self.assertIn("compacted", self.hilum("compact")[0])
        self.assertIn("restarted", self.hilum("restart-driver")[0])
        self.assertIn("driver.", self.hilum("events")[0])

    def test_the_machines_end(self):
        self.assertIn("reboots", self.hilum("reboot-host")[0])
        self.assertNotIn("running", self.hilum("list")[0])
        self.assertEqual(json.loads(self.hilum("poweroff-host", "--timeout", "0", "-o", "json")[0]), {"state": "powering-off"})
        self.assertIn("switched off", self.hilum("poweroff-host", "--force")[0])
        told = re.findall(r"host\.end.*?(\w+, VMs had \d+ s)", self.hilum("events")[0])
        self.assertEqual(told, ["reboot, VMs had 60 s", "poweroff, VMs had 0 s", "poweroff, VMs had 0 s"])
        viewer = self.hilum("token", "create", "v", "--role", "operator")[0].strip()
        self.hilum("reboot-host", status=4, HILUM_TOKEN=viewer)

    def test_tokens_and_what_their_roles_may_do(self):
        tokens = {role: self.hilum("token", "create", role, "--role", role)[0].strip() for role in ("viewer", "operator", "admin")}
        self.assertEqual({row[0]: row[1] for row in self.rows("token", "list")},
                         {"first": "admin", "viewer": "viewer", "operator": "operator", "admin": "admin"})
        self.hilum("token", "create", "viewer", status=1)
        self.hilum("token", "create", "x", "--role", "king", status=1)
        self.hilum("list", HILUM_TOKEN=tokens["viewer"])
        self.hilum("console", "linux", "--log", HILUM_TOKEN=tokens["viewer"])
        self.hilum("start", "spare", status=4, HILUM_TOKEN=tokens["viewer"])
        self.hilum("console", "linux", status=4, HILUM_TOKEN=tokens["viewer"])
        self.hilum("start", "spare", HILUM_TOKEN=tokens["operator"])
        self.hilum("undefine", "spare", status=4, HILUM_TOKEN=tokens["operator"])
        self.hilum("audit", status=4, HILUM_TOKEN=tokens["operator"])
        self.assertIn("POST /api/v1/vms/spare/boot", self.hilum("audit", HILUM_TOKEN=tokens["admin"])[0])
        self.assertEqual(self.hilum("token", "delete", "viewer")[0], "Token 'viewer' deleted\n")
        self.hilum("list", status=4, HILUM_TOKEN=tokens["viewer"])
        self.hilum("login", self.proxy.authority, HILUM_TOKEN=tokens["operator"])
        self.hilum("list", HILUM_TOKEN="", HILUM_HOST="")
        refused = [row for row in json.loads(self.hilum("audit", "-o", "json")[0])["entries"] if row["status"] in (401, 403)]
        self.assertGreaterEqual(len(refused), 4)
        self.hilum("token", "delete", "admin")
        self.hilum("token", "delete", "first", status=1)

    def test_gdb(self):
        child = subprocess.Popen([HILUM, "gdb", "linux"], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        port = int(re.search(rb":(\d+)$", child.stdout.readline().strip()).group(1))
        with socket.create_connection(("127.0.0.1", port)) as debugger:
            debugger.settimeout(LIMIT_S)
            debugger.sendall(b"$?#3f")
            self.assertEqual(debugger.recv(5), b"$?#3f")  # the simulator's debugger echoes
        self.assertEqual(child.wait(LIMIT_S), 0)

    def test_a_certificate_of_the_operator_s_own(self):
        before = json.loads(self.hilum("host", "-o", "json")[0])["fingerprint"]
        self.hilum("certificate", *self.certificate)
        self.assertNotEqual(json.loads(self.hilum("host", "-o", "json")[0])["fingerprint"], before)
