"""The web console in a browser, over HTTPS from the appliance itself."""
import os
import subprocess

from harness import ROOT, Failed, Machine, guestconfig, linux, machine

START_S = 120
BROWSER_S = 700
PATIENCE_S = 300  # of one step in the browser
PATH = os.path.join(ROOT, "tests", "web", "appliance.mjs")


def test_main_path():
    """Log in, create a VM from an uploaded kernel, type in its console, see its plot move, destroy it. Leaves build/console.png."""
    with Machine(linux(memory="160M"), api=True) as m:
        token = m.expect(r"first token[^\n]*(hilum_[A-Za-z0-9_-]{43})", START_S).group(1)
        m.prompt()
        command = ["node", PATH, f"https://127.0.0.1:{m.api_port}", token, guestconfig.DEFAULT_GUEST["vmlinuz"],
                   guestconfig.DEFAULT_GUEST["initrd"], os.path.join(machine.BUILD, "console.png")]
        environment = {**os.environ, "HILUM_PATIENCE_MS": str(PATIENCE_S * 1000)}
        browser = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, timeout=BROWSER_S)
        print(browser.stdout)
        m.settle()
        if browser.returncode:
            raise Failed(f"the browser's part ended with status {browser.returncode}")
