"""What a machine may answer that no honest one does: nothing of it moves the cursor, fills the memory, or is taken for something else."""
import time

from scripted import Scripted

ESCAPES = "\x1b[31m\x07\x9b2J\x7f\u202eevil"


class Hostile(Scripted):
    def assert_harmless(self, text):
        for character in text:
            self.assertTrue(character in "\n\t" or (character.isprintable() and ord(character) not in range(0x7f, 0xa0)), repr(text))

    def test_strings_do_not_command_the_terminal(self):
        vm = {"name": ESCAPES, "state": ESCAPES, "last_exit": ESCAPES, "started": ESCAPES, "config": {"cmdline": ESCAPES, ESCAPES: "x"},
              "stats": {"vcpus": [{"exits": {ESCAPES: 1}}]}}
        self.answer("GET /vms", {"vms": [vm, {**vm, "state": "running"}]})
        self.answer("GET /vms/a", vm)
        self.answer("GET /events", {"events": [{"id": 1, "time": ESCAPES, "kind": ESCAPES, "name": ESCAPES, "message": ESCAPES}],
                                    "last": 1})
        self.answer("GET /audit", {"entries": [{"id": 1, "time": ESCAPES, "token": ESCAPES, "method": ESCAPES, "path": ESCAPES}],
                                   "last": 1})
        self.answer("GET /host", {"name": ESCAPES, "cpu": ESCAPES, "addresses": [ESCAPES], "driver_vm": {"state": ESCAPES}})
        self.answer("GET /images", {"images": [{"name": ESCAPES, "source": ESCAPES}]})
        self.answer("GET /tokens", {"tokens": [{"name": ESCAPES, "role": ESCAPES, "created": ESCAPES}]})
        self.answer("GET /log", ESCAPES.encode() + b"\xff\xfe\xc0\xaf\xed\xa0\x80\n")
        self.answer("POST /vms/a/boot", {"detail": ESCAPES, "field": ESCAPES, "title": ESCAPES}, status=409)
        self.answer("PUT /vms/a", {"detail": ESCAPES, "field": ESCAPES}, status=422)
        definition = self.path("a.toml", '[[vm]]\nname = "a"\n')
        for words, status in ((["list", "--all"], 0), (["list", "--names", "--all"], 0), (["dominfo", "a"], 0), (["domstats", "a"], 0),
                              (["dumpconfig", "a"], 0), (["events"], 0), (["audit"], 0), (["host"], 0), (["images"], 0),
                              (["token", "list"], 0), (["dmesg"], 0), (["start", "a"], 1), (["define", definition], 1),
                              (["top", "--once"], 0),
                              (["list", "--all", "-o", "json"], 0), (["events", "-o", "json"], 0), (["dominfo", "a", "-o", "json"], 0)):
            with self.subTest(words=words):
                out, err = self.hilum(*words, status=status)
                self.assert_harmless(out + err)
                self.assertRegex(out + err, r"\\(x1b|u001[bB])\[31m")

    def test_answers_without_sense_are_status_3(self):
        for body in (b"", b"<html>", b"[1]", b'{"vms"', b"\xff", b'"x"'):
            with self.subTest(body=body):
                self.answer("GET /vms", body)
                _, err = self.hilum("list", status=3)
                self.assertIn("no JSON object", err)

    def test_members_of_wrong_types_are_taken_for_none(self):
        self.answer("GET /vms", {"vms": [{"name": 5, "state": [], "vcpus": "x", "memory_bytes": -1, "cpu_ns": 1e300}, 7, None]})
        self.hilum("list", "--all")
        self.hilum("list", "--all", "--names")
        self.hilum("top", "--once")
        self.hilum("domstats")
        self.answer("GET /vms", {"vms": {"a": 1}})
        self.hilum("list", "--all")
        self.answer("GET /vms/a", {"name": {}, "stats": {"vcpus": [1], "disks": {}, "nics": [[]], "memory": 3}, "config": 4})
        for verb in ("dominfo", "domstats", "dumpconfig"):
            self.hilum(verb, "a")

    def test_a_body_without_end_is_given_up(self):
        def pour(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    handler.wfile.write(b"x" * 65536)
            except OSError:
                return
        self.machine.answers["GET /api/v1/vms"] = pour
        self.hilum("list", status=3)

    def test_redirections_are_not_followed(self):
        self.answer("GET /vms", b"", status=302, Location="http://127.0.0.1:1/")
        self.hilum("list", status=1)

    def test_statuses_become_exit_statuses_and_sentences(self):
        for code, status in ((400, 1), (401, 4), (403, 4), (404, 1), (409, 1), (412, 1), (413, 1), (429, 1), (503, 1), (507, 1)):
            with self.subTest(code=code):
                self.answer("POST /vms/a/boot", {"title": "T", "detail": f"because of {code}"}, status=code, **{"Retry-After": "7"})
                _, err = self.hilum("start", "a", status=status)
                self.assertIn("error: Failed to start domain 'a'\n", err)
                self.assertIn(f"because of {code}", err)
                self.assertEqual("try again in 7 s" in err, code == 429)
        self.answer("POST /vms/a/boot", b"no JSON at all", status=500)
        self.assertIn("status 500", self.hilum("start", "a", status=1)[1])

    def test_names_are_escaped_in_paths(self):
        for name in ("../host", "a b", "ü", "x?y=z", "%2e"):
            self.hilum("dominfo", name, status=1)
        paths = [path for _, path, _, _ in self.machine.requests]
        self.assertEqual(paths, ["/api/v1/vms/..%2Fhost", "/api/v1/vms/a%20b", "/api/v1/vms/%C3%BC", "/api/v1/vms/x%3Fy%3Dz",
                                 "/api/v1/vms/%252e"])

    def test_web_sockets_that_break_the_rules_are_closed(self):
        frames = {"reserved bits": b"\xf2\x00", "masked": b"\x82\x81\0\0\0\0x", "unknown opcode": b"\x83\x00",
                  "long ping": b"\x89\x7e\x00\x80" + b"x" * 128,
                  "fragmented ping": b"\x09\x00", "continuation of nothing": b"\x80\x01x",
                  "long form of a short length": b"\x82\x7e\x00\x01x",
                  "length beyond 63 bits": b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "new message inside one": b"\x02\x01x\x82\x01y"}
        for name, frame in frames.items():
            with self.subTest(name):
                def serve(handler, frame=frame):
                    handler.wfile.write(frame)
                    handler.rfile.read()
                self.stream("/vms/a/console", serve)
                _, err = self.hilum("console", "a", "--follow", status=3)
                self.assertIn("no WebSocket frame", err)

    def test_upgrades_that_are_none_are_refused(self):
        heads = (b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
                 b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
                 b"HTTP/1.0 101 x\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"x" * 40000, b"")
        for head in heads:
            with self.subTest(head[:40]):
                def serve(handler, head=head):
                    handler.wfile.write(head)
                self.machine.answers["GET /api/v1/vms/a/console"] = serve
                self.hilum("console", "a", status=3)

    def test_a_message_without_end_is_given_up(self):
        self.answer("GET /log", b"")
        plain = self.machine.answers["GET /api/v1/log"]

        def serve(handler):
            if "Upgrade" not in handler.headers:
                return plain
            handler.upgrade()
            try:
                handler.send_frame(0x01, b"x" * 60000)
                while True:
                    handler.send_frame(0x00, b"x" * 60000)
            except OSError:
                return None
        self.machine.answers["GET /api/v1/log"] = serve
        _, err = self.hilum("dmesg", "--follow")
        self.assertIn("without an end", err)

    def test_an_upload_that_is_refused_early_says_why(self):
        def refuse(handler):
            handler.wfile.write(b'HTTP/1.1 413 Too Large\r\nContent-Type: application/problem+json\r\nConnection: close\r\n'
                                b'Content-Length: 22\r\n\r\n{"detail":"too large"}')
            time.sleep(0.2)
        self.machine.answers["PUT /api/v1/images/big"] = refuse
        self.machine.Handler.handle_expect_100 = lambda handler: (refuse(handler), False)[1]
        self.addCleanup(lambda: delattr(self.machine.Handler, "handle_expect_100"))
        _, err = self.hilum("upload", self.path("big", b"\0" * (8 << 20)), status=1)
        self.assertIn("too large", err)
