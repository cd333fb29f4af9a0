"""The control VM ends, and a fresh one takes over: guests and driver VM go on, and nothing that was asked for is forgotten."""
from harness import Machine, equal, guestconfig, quick
from test_restart import PORT
from test_virtio import guest

CRASH, HANG, STRIKE, BOTH = 4, 5, 6, 7  # what to write to the port of debug_crash
NEVER = "WRONG|EVERYTHING IS BEGUN AFRESH|Kernel panic|not all of it is there|no definition of it"


def end(m, how, guests=1):
    """Has the control VM end, from the prompt; returns how long its successor took, ms, and how many things were nobody's."""
    m.send(f"debug-exit {PORT:#x} {how}\n")
    found = m.expect(rf"hilum: control VM: triple fault; restarted in (\d+) ms; {guests} guests? carr(?:y|ies) on; (\d+) things", never=NEVER,
                     within_s=120)
    m.prompt()
    return int(found.group(1)), int(found.group(2))


@quick
def test_console_goes_on():
    with Machine(guestconfig.config_text(guest(debug_crash=PORT))) as m:
        m.prompt()
        for how in (CRASH, CRASH, STRIKE, HANG, BOTH):
            print(how, end(m, how))
            equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")
        m.send("poweroff\n")
        equal(m.finish(60), 0, "status")
