"""Joins the user's terminal to the machine's serial line: every key goes to the machine, but Ctrl-] ends the run."""
import os
import re
import select
import signal
import sys
import termios
import time
import tty

from machine import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TIMEOUT, Verdict

QUIT_KEY = 0x1D  # Ctrl-]
HALT_LINGER_S = 2.0  # this long after the last character of a Hilum that has given up, the run is over
HILUM_LINE = re.compile(rb"(^|[\r\n])hilum: ")
ESCAPES = re.compile(rb"\x1b(\[[0-9;=?]*[A-Za-z]|[^\[])|[\r\b]")


class Keyboard:
    """Standard input for the length of a run: raw if it is a terminal, as it was before afterwards."""

    def __init__(self, wanted):
        self.fd = sys.stdin.fileno() if wanted and sys.stdin is not None else None
        self.saved = None
        if self.fd is not None and os.isatty(self.fd):
            # A background job that touches its terminal would be stopped; it gets no keyboard.
            if os.tcgetpgrp(self.fd) != os.getpgrp():
                self.fd = None
            else:
                self.saved = termios.tcgetattr(self.fd)

    def __enter__(self):
        if self.saved:
            tty.setraw(self.fd, termios.TCSADRAIN)
        return self

    def __exit__(self, *error):
        if self.saved:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    @property
    def raw(self):
        return self.saved is not None


class Session:
    """One run. start() starts the machine and returns it (machine.Running). watch: sees what the machine prints, and answers with lines
    for the user."""

    def __init__(self, start, *, interactive, timeout_s=None, log=None, output=None, watch=None):
        self.start = start
        self.interactive = interactive
        self.watch = watch or (lambda data: [])
        self.timeout_s = timeout_s
        self.log = log
        self.output = output if output is not None else sys.stdout.fileno()
        self.verdict = Verdict()
        self.pending = b""  # typed, not yet taken by the machine
        self.halted_at = None
        self.at_line_start = True
        self.carry = b""
        self.firmware = b""  # the unfinished line before Hilum's first; None once that has come

    def run(self):
        """Starts the machine, joins the terminal to it until it stops, and returns (exit status, sentence for the user)."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(EXIT_INTERRUPTED))
        running = self.start()
        try:
            with Keyboard(self.interactive) as keyboard:
                os.set_blocking(running.stdin.fileno(), False)
                result = self.pump(running, keyboard)
        except KeyboardInterrupt:
            result = EXIT_INTERRUPTED, "interrupted"
        finally:
            running.stop()
        if not self.at_line_start:
            os.write(self.output, b"\n")
        if result is not None:
            return result
        complaint = running.complaint()
        if complaint and not self.verdict.halted and (not self.verdict.booted or not self.verdict.ends):
            return EXIT_FAILED, complaint
        return self.verdict.status(), self.verdict.sentence()

    def pump(self, running, keyboard):
        """Moves bytes until the machine stops by itself (None) or the run is over for another reason (status, sentence)."""
        deadline = time.monotonic() + self.timeout_s if self.timeout_s else None
        source, sink = running.stdout.fileno(), running.stdin.fileno()
        keys = keyboard.fd
        while True:
            wait = self.next_wait(deadline)
            if wait is not None and wait <= 0:
                if self.halted_at is not None:
                    return None
                return EXIT_TIMEOUT, f"stopped: still running after {self.timeout_s:g} s"
            readable, writable, _ = select.select([source] + ([keys] if keys is not None and len(self.pending) < 4096 else []),
                                                  [sink] if self.pending else [], [], wait)
            if source in readable:
                data = running.read()
                if not data:
                    return None
                self.show(data, keyboard)
            if keys in readable:
                data = os.read(keys, 4096)
                if not data:
                    keys = None
                if keyboard.raw and QUIT_KEY in data:
                    return EXIT_INTERRUPTED, "stopped by Ctrl-]"
                self.pending += data
            if sink in writable:
                try:
                    self.pending = self.pending[os.write(sink, self.pending):]
                except (BrokenPipeError, ConnectionResetError):
                    self.pending = b""

    def next_wait(self, deadline):
        ends = [end for end in (deadline, self.halted_at and self.halted_at + HALT_LINGER_S) if end]
        return min(ends) - time.monotonic() if ends else None

    def show(self, data, keyboard):
        self.verdict.feed(data)
        if self.verdict.halted:
            self.halted_at = time.monotonic()
        if self.log:
            self.log.write(data)
            self.log.flush()
        line_end = b"\r\n" if keyboard.raw else b"\n"
        notes = b"".join(line.encode() + line_end for line in self.watch(data))
        data = self.hush_firmware(data, line_end)
        if not keyboard.raw:  # a file or a cooked terminal wants plain line ends, also where a read has cut one in two
            data = self.carry + data
            self.carry = b"\r" if data.endswith(b"\r") else b""
            data = data[:len(data) - len(self.carry)].replace(b"\r\n", b"\n")
        self.at_line_start = data.endswith(b"\n") if data else self.at_line_start
        if notes:
            data += notes if self.at_line_start else line_end + notes
            self.at_line_start = True
        while data:
            try:
                data = data[os.write(self.output, data):]
            except BlockingIOError:
                select.select([], [self.output], [])


    def hush_firmware(self, data, line_end):
        """Until Hilum's first line: whole lines only, without the escape sequences by which firmware and GRUB would clear the
        user's screen and move about in it."""
        if self.firmware is None:
            return data
        text = self.firmware + data
        start = HILUM_LINE.search(text)
        cut = start.end(1) if start else text.rfind(b"\n") + 1
        before, rest = text[:cut], text[cut:]
        kept = [ESCAPES.sub(b"", line).strip() for line in before.split(b"\n")]
        shown = b"".join(line + line_end for line in kept if line)
        if start:
            shown += rest
        self.firmware = None if start else rest
        return shown

