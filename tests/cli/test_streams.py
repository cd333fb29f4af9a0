"""Consoles, followed logs and debuggers: bytes both ways, at a terminal and in pipes."""
import json
import os
import re
import signal
import socket
import subprocess
import termios
import threading
import time

from scripted import Scripted
from workstation import HILUM, LIMIT_S

CTRL_RIGHT_BRACKET = "\x1d"


class Streams(Scripted):
    def echo(self, handler):
        """A console that shows what is typed, in capitals, and knows the word `bye`."""
        handler.send_frame(0x82, b"login: ")
        while frame := handler.read_frame():
            if frame[0] == 0x82:
                handler.send_frame(0x82, frame[1].upper())
            if b"bye" in frame[1]:
                handler.send_frame(0x88, b"\x03\xe9going away")
            if frame[0] == 0x88:
                return

    def test_a_console_at_a_terminal_is_raw_and_gives_it_back(self):
        self.stream("/vms/a/console", self.echo)
        child = self.spawn("console", "a")
        child.expect_exact("Connected to domain 'a'")
        child.expect_exact("login: ")
        while termios.tcgetattr(child.child_fd)[3] & termios.ICANON:
            time.sleep(0.05)
        child.send("abc\x03\x1a\x04")
        child.expect_exact("ABC\x03\x1a\x04")
        child.send(CTRL_RIGHT_BRACKET)
        child.wait()
        self.assertEqual(child.exitstatus, 0)
        self.assertTrue(termios.tcgetattr(child.child_fd)[3] & (termios.ICANON | termios.ECHO))
        self.assertIn("tail=16384", self.machine.requests[-1][1])

    def test_questions_in_earlier_output_are_not_asked_again(self):
        def serve(handler):
            handler.send_frame(0x82, b"old\x1b[6n\x1b[1;31m prompt\x1b[c# ")
            while frame := handler.read_frame():
                if frame[0] == 0x82:
                    handler.send_frame(0x82, b"new\x1b[6n.")
        self.stream("/vms/a/console", serve)
        child = self.spawn("console", "a")
        child.expect_exact("old\x1b[1;31m prompt# ")
        child.send("x")
        child.expect_exact("new\x1b[6n.")
        child.send(CTRL_RIGHT_BRACKET)
        child.wait()
        self.assertEqual(child.exitstatus, 0)

    def test_a_signal_gives_the_terminal_back(self):
        self.stream("/vms/a/console", self.echo)
        for number in (signal.SIGTERM, signal.SIGHUP):
            child = self.spawn("console", "a", "--tail", "all")
            child.expect_exact("login: ")
            while termios.tcgetattr(child.child_fd)[3] & termios.ICANON:
                time.sleep(0.05)
            os.kill(child.pid, number)
            child.wait()
            self.assertEqual(child.signalstatus, number)
            self.assertTrue(termios.tcgetattr(child.child_fd)[3] & termios.ICANON)
            self.assertNotIn("tail", self.machine.requests[-1][1])

    def test_a_machine_that_goes_leaves_the_terminal_as_it_was(self):
        self.stream("/vms/a/console", self.echo)
        child = self.spawn("console", "a")
        child.expect_exact("login: ")
        child.send("bye")
        child.expect_exact("the machine closed the console (1001: going away)")
        child.wait()
        self.assertEqual(child.exitstatus, 3)
        self.assertTrue(termios.tcgetattr(child.child_fd)[3] & termios.ICANON)

    def test_a_console_in_a_pipe_types_and_ends_after_silence(self):
        self.stream("/vms/a/console", self.echo)
        out, _ = self.hilum("console", "a", "--tail", "0", stdin=b"uname\x1d\n")
        self.assertEqual(out, "login: UNAME\x1d\n")
        self.assertIn("tail=0", self.machine.requests[-1][1])
        large = bytes(range(97, 123)) * 8000
        out, _ = self.hilum("console", "a", "--linger", "3", stdin=large)
        self.assertEqual(out, "login: " + large.decode().upper())

    def test_frames_of_all_kinds_and_sizes(self):
        pongs = []

        def serve(handler):
            handler.send_frame(0x02, b"one ")
            handler.send_frame(0x89, b"are you there")
            handler.send_frame(0x00, b"two ")
            handler.send_frame(0x80, b"")
            handler.send_frame(0x8a, b"unasked")
            for size in (125, 126, 65535, 65536, 300000):
                handler.send_frame(0x82, b"z" * size)
            while frame := handler.read_frame():
                pongs.append(frame)
                if frame[0] == 0x8a:
                    handler.send_frame(0x88, b"\x03\xe8")
                    return
        self.stream("/vms/a/console", serve)
        out, err = self.hilum("console", "a", "--follow", status=3)
        self.assertEqual(out, "one two " + "z" * (125 + 126 + 65535 + 65536 + 300000))
        self.assertIn("(1000)", err)
        self.assertEqual(pongs[0], (0x8a, b"are you there"))

    def test_a_reader_that_has_enough_ends_it(self):
        def serve(handler):
            while True:
                handler.send_frame(0x82, b"line\n" * 1000)
        self.stream("/vms/a/console", serve)
        command = f"{HILUM} console a --follow </dev/null | head -n 1"
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], env=self.env, capture_output=True, timeout=LIMIT_S,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"line\n"))

    def test_start_with_console_misses_nothing(self):
        booted = threading.Event()

        def serve(handler):
            booted.wait(LIMIT_S)
            handler.send_frame(0x82, b"first line\n")
            self.echo(handler)

        def boot(_):
            booted.set()
            return 202, {}, b'{"name":"a","state":"running"}'
        self.stream("/vms/a/console", serve)
        self.machine.answers["POST /api/v1/vms/a/boot"] = boot
        child = self.spawn("start", "a", "--console")
        child.expect_exact("Domain 'a' started")
        child.expect_exact("first line")
        child.expect_exact("login: ")
        child.send(CTRL_RIGHT_BRACKET)
        child.wait()
        self.assertEqual(child.exitstatus, 0)
        self.assertIn("tail=0", next(path for _, path, _, _ in self.machine.requests if "console" in path))
        self.hilum("start", "a", "b", "--console", status=2)

    def test_a_console_that_is_refused_says_why(self):
        self.answer("GET /vms/a/console", {"title": "Forbidden", "detail": "a viewer may not type"}, status=403)
        _, err = self.hilum("console", "a", status=4)
        self.assertIn("Failed to open the console of domain 'a'", err)
        self.assertIn("a viewer may not type", err)
        self.hilum("console", "a", "--tail", "much", status=2)

    def follow(self, path, before, frames):
        """The plain answer first, and the frames to the one who upgrades; the machine then closes."""
        def serve(handler):
            if "Upgrade" not in handler.headers:
                return before
            handler.upgrade()
            for frame in frames:
                handler.send_frame(0x81, frame)
            handler.send_frame(0x88, b"\x03\xe8")
            handler.rfile.read()
            return None
        self.machine.answers[f"GET /api/v1{path}"] = serve

    def test_events_go_on_where_the_list_ends(self):
        def event(number):
            return {"id": number, "time": "2026-11-21T13:40:02Z", "kind": "vm.started", "name": f"vm{number}", "message": "by api"}
        before = json.dumps({"events": [event(4), event(5)], "last": 5}).encode()
        self.follow("/events", (200, {}, before), [json.dumps(event(6)).encode(), b"{"])
        out, err = self.hilum("events", "--follow", "--since", "3", status=3)
        self.assertEqual([line.split()[1] for line in out.splitlines()], ["4", "5", "6"])
        self.assertIn("vm6: by api", out)
        self.assertIn("no JSON", err)
        self.assertEqual([path for _, path, _, _ in self.machine.requests], ["/api/v1/events?since=3", "/api/v1/events?since=5"])
        out, _ = self.hilum("events", "--follow", "-o", "json", status=3)
        self.assertEqual([json.loads(text)["id"] for text in re.findall(r"^\{.*?^\}", out, re.M | re.S)], [4, 5, 6])

    def test_the_log_goes_on_where_it_ends(self):
        self.follow("/log", (200, {"Hilum-Log-Position": "77", "Content-Type": "text/plain"}, b"[0.1] one\n"),
                    [b"[0.2] two\n", b"[0.3] thr", b"ee\n"])
        out, _ = self.hilum("dmesg", "--follow", status=3)
        self.assertEqual(out, "[0.1] one\n[0.2] two\n[0.3] three\n")
        self.assertEqual(self.machine.requests[-1][1], "/api/v1/log?since=77")

    def test_gdb_passes_one_connection_on(self):
        self.answer("GET /vms/a", {"name": "a"})
        got = []

        def serve(handler):
            while frame := handler.read_frame():
                if frame[0] == 0x88:
                    return
                got.append(frame[1])
                handler.send_frame(0x82, b"+$OK#9a")
        self.stream("/vms/a/gdb", serve)
        child = subprocess.Popen([HILUM, "gdb", "a"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        port = int(re.search(rb"target remote 127\.0\.0\.1:(\d+)", child.stdout.readline()).group(1))
        with socket.create_connection(("127.0.0.1", port)) as debugger:
            debugger.settimeout(LIMIT_S)
            debugger.sendall(b"\x03$?#3f")
            self.assertEqual(debugger.recv(100), b"+$OK#9a")
        self.assertEqual(child.wait(LIMIT_S), 0)
        self.assertEqual(b"".join(got), b"\x03$?#3f")

    def test_gdb_of_a_vm_that_is_not_there_opens_no_port(self):
        out, _ = self.hilum("gdb", "none", status=1)
        self.assertEqual(out, "")
        self.hilum("gdb", "a", "--port", "70000", status=2)
