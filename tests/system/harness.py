"""What system tests are made of: a machine that boots Hilum with a given configuration, and expectations on its serial line.

A test is a function test_* in tests/system/test_*.py without arguments; it fails by raising. `scripts/test` runs each in a
process of its own, as `harness.py FILE NAME`. Decorators: quick (also part of --quick), long (only part of --long), each(...)
(one test for each set of arguments)."""
import contextlib
import glob
import hashlib
import http.server
import os
import re
import select
import sys
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))

import bochs  # noqa: E402
import guestconfig  # noqa: E402
import machine  # noqa: E402

BOOT_S = 120  # from power-on to a Linux prompt; generous, for hosts that do several things at once
START_S = 60  # to Hilum's first lines
COMMAND_S = 30
PROMPT = r"[a-z]+:[^\r\n]*# "
LOG_TAIL_LINES = 40
guestconfig.LINUX_CMDLINE += " cryptomgr.notests"  # they are a twentieth of a boot


class Failed(Exception):
    """An expectation that did not hold."""


def quick(test):
    test.quick = True
    return test


def long(test):
    test.long = True
    return test


def long_cases(*names):
    """Cases of `each` that only --long runs: they repeat on other hardware what the rest shows."""
    def mark(test):
        test.long_cases = names
        return test
    return mark


def each(**cases):
    """One test for each case: name -> tuple of the function's arguments."""
    def mark(test):
        test.cases = cases
        return test
    return mark


class Patience:
    """Seconds, less those in which the emulators, which wanted to run, waited for a processor of a host that does other things too. All
    limits are in this time: what an emulator was not let do, nothing in it can be blamed for. Now and then it goes back a little, as the
    host counts a wait when it is over. A host that does not count gives plain seconds."""

    def __init__(self):
        self.waited = {}  # of each emulator, by process id

    def watch(self, process):
        self.waited[process.pid] = 0

    def now(self):
        for pid, before in self.waited.items():
            self.waited[pid] = max(before, self.of(pid))
        return time.monotonic() - max(self.waited.values(), default=0) / 1e9

    @staticmethod
    def of(pid):
        """Nanoseconds that the one of its threads that waited longest has waited so far (Linux, Documentation/scheduler/sched-stats.rst)."""
        waits = [0]
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path, encoding="ascii") as file:
                    waits.append(int(file.read().split()[1]))
            except (OSError, IndexError):  # a thread that has just ended
                pass
        return max(waits)


patience = Patience()


class Machine:
    """A running machine, as a context manager. config: text of hilum.toml, or None for none on the medium; modules: name -> file,
    beside Debian's kernel and initramfs; without: names left out of the medium ("control", "driver"); emulator: "qemu" or "bochs";
    api: with a card by which the control VM is reached at port `api_port` of this host; image: more of machine.make_image's; further keywords as machine.qemu_command or
    bochs.start."""

    def __init__(self, config, modules=None, *, linux=True, without=(), boot="cd", hilum_cmdline="", emulator="qemu", api=False, image=None, **hardware):
        self.scratch = machine.Scratch()
        self.text = ""
        self.seen = 0  # how much of the text has been matched
        self.partial = b""
        self.verdict = machine.Verdict()
        path = self.scratch.name
        config_file = "none"
        if api:
            self.api_port = machine.free_port(20000 + os.getpid() % 10000)
            config += guestconfig.api_text()
            hardware["extra"] = [*hardware.get("extra", ()), *machine.IOMMU, "-netdev", machine.user_network(self.api_port),
                                 "-device", f"virtio-net-pci,netdev=user,mac={machine.API_CARD},{machine.BEHIND_IOMMU}"]
        if config is not None:
            config_file = os.path.join(path, "hilum.toml")
            with open(config_file, "w", encoding="utf-8") as file:
                file.write(config)
        modules = {**(guestconfig.DEFAULT_GUEST if linux else {}), **(modules or {})}
        services, image_options = {name: "none" for name in without}, image or {}
        image = machine.make_image(os.path.join(path, "image"), config_file, modules, boot == "pxe", hilum_cmdline, **services, **image_options)
        if emulator == "bochs":
            self.running = bochs.start(image, path, **hardware)
        else:
            hardware["extra"] = [*hardware.get("extra", ()), "-d", "cpu_reset", "-D", os.path.join(path, "resets")]
            self.running = machine.start_qemu(machine.qemu_command(image, path, boot=boot, **hardware))
        os.set_blocking(self.running.stdin.fileno(), False)
        patience.watch(self.running.process)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.running.stop()
        if error is not None:
            print("---", error)
            print("--- the whole serial log:", self.keep_log())
            tail = re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", self.text).replace("\r", "").splitlines()[-LOG_TAIL_LINES:]
            print("--- end of the serial log ---", *tail, "-----------------------------", sep="\n")
        self.scratch.cleanup()

    def keep_log(self):
        """Of a test that failed, below build/; the file's name in the tree."""
        name = re.sub(r"\W+", "-", " ".join(sys.argv[1:]).replace(ROOT, "")).strip("-") or "machine"
        path = os.path.join(machine.BUILD, "failed", f"{name}.log")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text)
        return os.path.relpath(path, ROOT)

    def read(self, wait_s):
        """Takes in what has come; False when the machine is off."""
        ready, _, _ = select.select([self.running.stdout], [], [], max(0, wait_s))
        if not ready:
            return True
        data = self.running.read()
        self.verdict.feed(data)
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, pattern, within_s=COMMAND_S, never=None):
        """Waits for the pattern in what has not been matched yet and returns the match; text up to it counts as seen. A panic, a
        machine that stops, or a match of never before it, is a failure."""
        deadline = patience.now() + within_s
        alive = True
        while True:
            found = re.compile(pattern).search(self.text, self.seen)
            unwanted = re.compile(never).search(self.text, self.seen, found.start() if found else len(self.text)) if never else None
            if unwanted:
                raise Failed(f"'{unwanted.group()}' before '{pattern}'")
            if found:
                self.seen = found.end()
                return found
            if self.verdict.panicked and "panic" not in pattern:
                self.settle()
                raise Failed(f"Hilum panicked before '{pattern}'")
            if not alive:
                raise Failed(f"the machine stopped before '{pattern}'" + self.complaint())
            if patience.now() > deadline:
                raise Failed(f"no '{pattern}' within {within_s} s")
            alive = self.read(min(1, deadline - patience.now()))

    def complaint(self):
        """What the emulator itself stopped for, as the end of a sentence."""
        self.running.process.wait(COMMAND_S)
        complaint = self.running.complaint() or "it was reset or switched off"
        with contextlib.suppress(OSError), open(os.path.join(self.scratch.name, "resets"), encoding="utf-8") as resets:
            if "Triple fault" in resets.read():
                complaint = "a triple fault, in root mode or before it"
        return f" ({complaint})"

    def settle(self, quiet_s=1.5):
        """Takes in what comes until nothing does."""
        size = -1
        while size != len(self.text):
            size = len(self.text)
            if not self.read(quiet_s):
                break

    def send(self, keys):
        data = keys.encode()
        while data:
            select.select([], [self.running.stdin], [], COMMAND_S)
            data = data[os.write(self.running.stdin.fileno(), data):]

    def token(self, within_s=BOOT_S):
        """The API's first token, once HTTPS answers (with api=True)."""
        token = self.expect(r"api: first token [^\r\n]*(hilum_[A-Za-z0-9_-]{43})", within_s).group(1)
        self.expect(r"api: certificate sha256:[0-9A-F:]{95}", within_s)
        return token

    def prompt(self, within_s=BOOT_S):
        self.expect(PROMPT, within_s, never="Kernel panic")

    def shell(self, command, within_s=COMMAND_S):
        """Runs a command at the guest's prompt and returns what it printed; a non-zero status is a failure."""
        # The marks are put together by the shell, so that the echo of the line, which may be folded, does not match them.
        self.send(f"echo BE''GIN; {command}; echo E''ND $?\n")
        self.expect(r"BEGIN\r?\n", within_s)
        start = self.seen
        status = self.expect(r"END (\d+)\r?\n", within_s, never="Kernel panic")
        output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text[start:status.start()]).replace("\r", "")
        output = re.sub(r"^\x18?hilum: .*\n?", "", output, flags=re.MULTILINE).strip()  # lines of the log may come between
        self.prompt(within_s)
        if status.group(1) != "0":
            raise Failed(f"'{command}' ended with status {status.group(1)}: {output}")
        return output

    def finish(self, within_s=COMMAND_S):
        """Waits until the machine is off and returns the status that scripts/run would end with."""
        deadline = patience.now() + within_s
        while not self.verdict.halted and self.read(min(1, deadline - patience.now())):
            if patience.now() > deadline:
                raise Failed(f"the machine still runs after {within_s} s")
        if self.verdict.halted:
            self.settle()
        return self.verdict.status()


class Web(http.server.ThreadingHTTPServer):
    """Serves one file on a port of this host's loopback, which guests reach as 10.0.2.2; with a pause after each 128 KiB."""

    def __init__(self, data, pause_s=0):
        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            for at in range(0, len(data), 1 << 17):
                handler.wfile.write(data[at:at + (1 << 17)])
                time.sleep(pause_s)

        super().__init__(("127.0.0.1", 0), type("Handler", (http.server.BaseHTTPRequestHandler,), {
            "do_GET": answer, "log_message": lambda handler, *_: None}))
        self.sum = hashlib.md5(data).hexdigest()
        self.url = f"http://10.0.2.2:{self.server_address[1]}/f"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


def linux(**keywords):
    """Configuration of a run with one Debian guest; the machine goes off when it ends."""
    return guestconfig.config_text(guestconfig.linux_table(**keywords))


def equal(found, wanted, what=""):
    if found != wanted:
        raise Failed(f"{what or 'value'} is {found!r}, not {wanted!r}")


def true(condition, what):
    if not condition:
        raise Failed(what)


def tests_in(module):
    """[(name, function, arguments)] in the order of the file."""
    found = []
    for name, function in vars(module).items():
        if name.startswith("test_") and callable(function):
            for case, arguments in getattr(function, "cases", {"": ()}).items():
                found.append((name[len("test_"):] + ("/" + case if case else ""), function, arguments))
    return found


def main(path, name):
    import importlib.util
    spec = importlib.util.spec_from_file_location("case", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = sys.modules["__main__"]
    spec.loader.exec_module(module)
    function, arguments = next((f, a) for n, f, a in tests_in(module) if n == name)
    try:
        function(*arguments)
    except Failed as failure:
        line = next(frame.lineno for frame in traceback.extract_tb(failure.__traceback__) if frame.filename == path)
        print(f"{os.path.relpath(path, ROOT)}:{line}: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[2]))
