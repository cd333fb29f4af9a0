"""Which machine is spoken to, and with which token."""
import json
import os
import stat
import subprocess

from workstation import TOKEN, Machine, Workstation, fingerprint, make_certificate

VMS = json.dumps({"vms": []}).encode()


class Trust(Workstation):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = make_certificate(cls.folder, "other")

    def setUp(self):
        super().setUp()
        self.machine = Machine(*self.certificate)
        self.addCleanup(self.machine.close)
        self.machine.answers["GET /api/v1/vms"] = (200, {}, VMS)
        self.env |= {"HILUM_HOST": "https://" + self.machine.authority, "HILUM_TOKEN": TOKEN}
        self.known = os.path.join(self.home, ".config", "hilum", "known_hosts")

    def test_without_a_terminal_a_new_machine_is_refused_and_gets_no_token(self):
        _, err = self.hilum("list", status=5)
        self.assertIn(fingerprint(self.certificate[0]), err)
        self.assertEqual(self.machine.requests, [])
        self.assertFalse(os.path.exists(self.known))

    def test_first_use_asks_at_the_terminal_and_remembers(self):
        child = self.spawn("list")
        child.expect_exact(fingerprint(self.certificate[0]))
        child.expect("yes, no")
        child.sendline("yes")
        child.expect("Name")
        child.expect_exact("State")
        child.wait()
        self.assertEqual(child.exitstatus, 0)
        self.hilum("list")
        self.assertEqual(stat.S_IMODE(os.stat(self.known).st_mode), 0o600)

    def test_the_typed_fingerprint_is_an_answer_and_no_is_one(self):
        child = self.spawn("list")
        child.expect("yes, no")
        child.sendline("no")
        child.wait()
        self.assertEqual(child.exitstatus, 5)
        child = self.spawn("list")
        child.expect("yes, no")
        child.sendline(fingerprint(self.other[0]))
        child.wait()
        self.assertEqual(child.exitstatus, 5)
        child = self.spawn("list")
        child.expect("yes, no")
        child.sendline(fingerprint(self.certificate[0]).lower())
        child.expect("Name")
        child.wait()
        self.assertEqual(child.exitstatus, 0)

    def test_accept_new_and_the_expected_fingerprint(self):
        _, err = self.hilum("list", status=5, HILUM_FINGERPRINT=fingerprint(self.other[0]))
        self.assertIn(fingerprint(self.certificate[0]), err)
        self.hilum("list", HILUM_FINGERPRINT=fingerprint(self.certificate[0]))
        os.unlink(self.known)
        self.hilum("list", "--accept-new")
        self.hilum("list")

    def test_another_key_is_refused_before_anything_is_sent(self):
        self.hilum("list", "--accept-new")
        self.machine.requests.clear()
        self.machine.use_certificate(*self.other)
        for words in (["list"], ["list", "--accept-new"], ["console", "linux"], ["events", "--follow"]):
            _, err = self.hilum(*words, status=5)
            self.assertIn("HAS CHANGED", err)
            self.assertIn(fingerprint(self.other[0]), err)
            self.assertIn("hilum forget " + self.machine.authority, err)
        self.assertEqual(self.machine.requests, [])
        self.hilum("forget", self.machine.authority)
        self.hilum("list", status=5)
        self.hilum("list", "--accept-new")

    def test_a_certificate_renewed_for_the_same_key_is_the_same_machine(self):
        self.hilum("list", "--accept-new")
        renewed = self.path("renewed.pem")
        subprocess.run(["openssl", "req", "-x509", "-key", self.certificate[1], "-days", "3", "-subj", "/CN=new", "-out", renewed],
                       check=True, capture_output=True)
        self.assertNotEqual(fingerprint(renewed), fingerprint(self.certificate[0]))
        self.machine.use_certificate(renewed, self.certificate[1])
        self.hilum("list")

    def test_a_ca_is_an_alternative_to_pinning(self):
        self.hilum("list", "--ca", self.certificate[0])
        self.assertFalse(os.path.exists(self.known))
        self.hilum("list", "--ca", self.other[0], status=5)
        self.hilum("list", "--ca", "system", status=5)
        self.hilum("list", "--ca", self.path("none.pem"), status=2)

    def test_a_machine_that_is_not_there(self):
        self.trust("127.0.0.1:1", self.certificate[0])
        _, err = self.hilum("list", "--host", "127.0.0.1:1", status=3)
        self.assertIn("cannot reach 127.0.0.1:1", err)
        self.hilum("list", "--host", "https://127.0.0.1/path", status=2)
        self.hilum("list", "--host", "http://127.0.0.1", status=2)
        self.hilum("list", HILUM_HOST="", status=2)

    def test_no_token_reaches_the_machine_that_is_none(self):
        self.trust(self.machine.authority, self.certificate[0])
        self.hilum("list", status=2, HILUM_TOKEN="secret")
        self.machine.answers["GET /api/v1/vms"] = (401, {"WWW-Authenticate": "Bearer"},
                                                   b'{"title":"Unauthorized","detail":"no valid token"}')
        _, err = self.hilum("list", status=4, HILUM_TOKEN="")
        self.assertIn("no valid token", err)
        self.assertNotIn("Authorization", self.machine.requests[-1][2])

    def test_login_stores_what_works_and_only_for_its_owner(self):
        config = os.path.join(self.home, ".config", "hilum", "config")
        self.machine.answers["GET /api/v1/whoami"] = (401, {}, b'{"detail":"unknown token"}')
        env = {"HILUM_HOST": "", "HILUM_TOKEN": ""}
        self.hilum("login", self.machine.authority, "--accept-new", status=4, stdin=TOKEN.encode() + b"\n", **env)
        self.assertFalse(os.path.exists(config))
        self.machine.answers["GET /api/v1/whoami"] = (200, {}, b'{"name":"first","role":"admin"}')
        self.hilum("login", self.machine.authority, status=2, stdin=b"hilum_short\n", **env)
        out, _ = self.hilum("login", self.machine.authority, "--name", "lab", stdin=TOKEN.encode() + b"\n", **env)
        self.assertIn("role admin", out)
        self.assertEqual(stat.S_IMODE(os.stat(config).st_mode), 0o600)
        self.hilum("list", **env)
        self.assertEqual(self.machine.requests[-1][2]["Authorization"], "Bearer " + TOKEN)
        self.hilum("--host", "lab", "list", **env)
        self.hilum("list", "--host", "https://" + self.machine.authority, **env)
        other = "hilum_" + "B" * 43
        self.hilum("list", HILUM_HOST="lab", HILUM_TOKEN=other)
        self.assertEqual(self.machine.requests[-1][2]["Authorization"], "Bearer " + other)
        os.chmod(config, 0o644)
        _, err = self.hilum("list", status=2, **env)
        self.assertIn("chmod 600", err)

    def test_the_token_is_not_shown_while_it_is_typed(self):
        self.trust(self.machine.authority, self.certificate[0])
        self.machine.answers["GET /api/v1/whoami"] = (200, {}, b'{"name":"first","role":"viewer"}')
        child = self.spawn("login", self.machine.authority, HILUM_TOKEN="")
        child.expect("Token")
        child.waitnoecho()
        child.sendline(TOKEN)
        child.expect("role viewer")
        self.assertNotIn(TOKEN.encode(), child.before)
        child.wait()
        self.assertEqual(child.exitstatus, 0)

    def test_a_configuration_with_errors_is_said_with_its_line(self):
        os.makedirs(os.path.join(self.home, ".config", "hilum"))
        config = self.path(".config/hilum/config", '[host.lab]\nurl = "https://h"\ntokne = "x"\n')
        os.chmod(config, 0o600)
        _, err = self.hilum("list", status=2)
        self.assertIn(f"{config}:3: tokne: unknown key", err)
