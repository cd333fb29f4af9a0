"""Definitions from files and editors to the API, and back."""
import json
import os
import re
import subprocess

from scripted import Scripted
from workstation import HILUM, LIMIT_S, make_certificate

WEB = {"kernel": "vmlinuz", "cmdline": 'quoted "x" \\ tab\t', "memory": "512M", "vcpus": 2, "serial": True, "cpus": [0, 2],
       "disk": [{"module": "disk.img", "readonly": True}, {"device": "00:04.0"}], "nic": [{}, {"ip": ["10.0.0.5", "fd00::5"]}]}
FILE = """
[hilum]
console = "web"

[[vm]]
name = "web"
kernel = "vmlinuz"
cmdline = 'quoted "x" \\ tab\t'
memory = "512M"
vcpus = 2
serial = true
cpus = [0, 2]

[[vm.disk]]
module = "disk.img"
readonly = true

[[vm.disk]]
device = "00:04.0"

[[vm.nic]]

[[vm.nic]]
ip = ["10.0.0.5", "fd00::5"]

[[vm]]
name = "spare"
kernel = "k"
"""


class Define(Scripted):
    def setUp(self):
        super().setUp()
        self.answer("PUT /vms/web", {"name": "web"}, status=201)
        self.answer("PUT /vms/spare", {"name": "spare", "change_pending": True})
        self.answer("GET /vms/web", {"name": "web", "config": WEB}, ETag='"7"')

    def bodies(self):
        return [json.loads(body) for method, _, _, body in self.machine.requests if method == "PUT"]

    def test_toml_and_json_say_the_same(self):
        out, err = self.hilum("define", self.path("a.toml", FILE))
        self.assertIn("Domain 'web' defined from ", out)
        self.assertRegex(out, "Domain 'spare' defined .*; it takes effect at its next start\n")
        self.assertIn("a.toml:2: hilum is left out", err)
        self.assertEqual(self.bodies(), [{"name": "web", **WEB}, {"name": "spare", "kernel": "k"}])
        vm = {"name": "web", **WEB}
        for text in (json.dumps(vm), json.dumps([vm]), " \n" + json.dumps({"vm": [vm]})):
            self.machine.requests.clear()
            self.hilum("define", "-", stdin=text.encode())
            self.assertEqual(self.bodies(), [{"name": "web", **WEB}])

    def test_what_is_dumped_can_be_defined(self):
        out, _ = self.hilum("dumpconfig", "web")
        self.hilum("define", "-", stdin=out.encode())
        out, _ = self.hilum("dumpconfig", "web", "-o", "json")
        self.hilum("define", "-", stdin=out.encode())
        self.assertEqual(self.bodies(), [{"name": "web", **WEB}] * 2)

    def test_a_wrong_field_is_said_with_file_field_and_line(self):
        path = self.path("a.toml", FILE)
        for field, line in (("memory", 9), ("disk[1].device", 19), ("disk[0]", 14), ("disk[0].nothing", 14), ("nic[1].ip", 24), ("rng", 5)):
            self.answer("PUT /vms/web", {"detail": "is wrong", "field": field}, status=422)
            out, err = self.hilum("define", path, status=1)
            self.assertIn("error: Failed to define domain 'web' from ", err)
            self.assertIn(f'{path}:{field}: is wrong (VM "web", line {line})\n', err)
            self.assertIn("Domain 'spare' defined", out)
        self.answer("PUT /vms/spare", {"detail": "is wrong", "field": "kernel"}, status=422)
        self.assertIn(f'{path}:kernel: is wrong (VM "spare", line 28)\n', self.hilum("define", path, status=1)[1])

    def test_files_with_nothing_to_define(self):
        for text, said in (("", "no [[vm]]"), ("[[vm]]\nkernel = 1\n", "name: VM 1 has none"), ("x = ", ":1: column 5: "),
                           ("{", ":1: column 1: "), ("[]", "no [[vm]]"), ("[{}]", "name: VM 1 has none"),
                           ('{"name": "a", "name": "b"}', "duplicate"),
                           ('vm = "x"', "no [[vm]]"), ("[[vm]]\nname = 5\n", "VM 1 has none"), ("vm = [1]\n", "VM 1 has none")):
            _, err = self.hilum("define", self.path("a", text), status=2)
            self.assertIn(said, err)
        self.assertEqual(self.bodies(), [])

    def test_new_asks_for_a_free_name(self):
        self.hilum("define", "--new", "-", stdin=b'{"name": "web"}')
        self.assertEqual(self.machine.requests[-1][2]["If-None-Match"], "*")

    def edit(self, script, status=0):
        editor = self.path("editor", f"#!/bin/sh\n{script}\n")
        os.chmod(editor, 0o700)
        return self.hilum("define", "--edit", "web", status=status, EDITOR=editor, VISUAL="", TMPDIR=self.home)

    def drafts(self):
        return [name for name in os.listdir(self.home) if re.fullmatch(r"hilum-\w+\.toml", name)]

    def test_edit_sends_what_was_changed_and_for_the_version_it_was_made_from(self):
        out, _ = self.edit("sed -i 's/512M/1G/' \"$1\"")
        self.assertEqual(out, "Domain 'web' defined\n")
        self.assertEqual(self.bodies(), [{"name": "web", **WEB, "memory": "1G"}])
        self.assertEqual(self.machine.requests[-1][2]["If-Match"], '"7"')
        self.assertEqual(self.drafts(), [])
        self.machine.requests.clear()
        self.assertEqual(self.edit("true")[0], "Domain 'web' not changed\n")
        self.assertEqual(self.bodies(), [])
        self.edit("false", status=2)

    def test_edit_keeps_the_text_that_is_refused(self):
        for code, problem, said in ((412, {"detail": "it was changed meanwhile"}, "changed meanwhile"),
                                    (422, {"detail": "is wrong", "field": "memory"}, "memory: is wrong")):
            self.answer("PUT /vms/web", problem, status=code)
            _, err = self.edit("sed -i 's/512M/3M/' \"$1\"", status=1)
            self.assertIn(said, err)
            draft = re.search(r"your text is kept in (\S+)", err).group(1)
            with open(draft, encoding="ascii") as file:
                self.assertIn('memory = "3M"', file.read())
            os.unlink(draft)
        _, err = self.edit("sed -i 's/\"web\"/\"other\"/' \"$1\"", status=2)
        self.assertIn('with the name "web"', err)
        self.assertEqual(self.bodies()[-1]["name"], "web")

    def test_edit_again_at_a_terminal(self):
        self.answer("PUT /vms/web", {"detail": "is wrong", "field": "memory"}, status=422)
        editor = self.path("editor", "#!/bin/sh\necho '#' >>\"$1\"\n")
        os.chmod(editor, 0o700)
        child = self.spawn("define", "--edit", "web", EDITOR=editor, VISUAL="", TMPDIR=self.home)
        child.expect_exact("Edit it again")
        self.answer("PUT /vms/web", {"name": "web"})
        child.sendline("yes")
        child.expect_exact("Domain 'web' defined")
        child.wait()
        self.assertEqual((child.exitstatus, self.drafts()), (0, []))

    def test_certificate_installed_by_ourselves_is_known(self):
        self.machine.answers["PUT /api/v1/host/certificate"] = self.machine.answers["DELETE /api/v1/host/certificate"] = (204, {}, b"")
        self.answer("GET /vms", {"vms": []})
        own = make_certificate(self.folder, "own")
        self.hilum("certificate", *own)
        self.assertIn("BEGIN CERTIFICATE", self.bodies()[-1]["certificate"])
        self.assertIn("PRIVATE KEY", self.bodies()[-1]["key"])
        self.hilum("list", status=5)
        self.machine.use_certificate(*own)
        self.hilum("list")
        self.hilum("certificate", "--reset")
        self.hilum("list", status=5)
        self.hilum("certificate", own[1], own[1], status=5)
        self.trust(self.machine.authority, own[0])
        self.hilum("certificate", own[1], own[1], status=2)
        self.assertEqual(subprocess.run([HILUM, "certificate", "/nonexistent", own[1]], env=self.env, capture_output=True, timeout=LIMIT_S,
                                        check=False).returncode, 2)
