"""The driver VM ends, and a fresh one carries on: guests see a pause."""
from harness import BOOT_S, Machine, equal, guestconfig, quick, true
from test_virtio import guest

CRASH = 0xF5  # the port of debug_crash
KILL = "debug-exit 0xf5 {how}"
CARRIES_ON = r"hilum: driver VM: {}; restarted in (\d+) ms, of which (\d+) to stop its devices; 1 guest carries on"


@quick
def test_console_survives_a_crash():
    with Machine(guestconfig.config_text(guest(debug_crash=CRASH))) as m:
        m.prompt()
        m.send(KILL.format(how=1) + "\n")
        m.expect(CARRIES_ON.format("triple fault"))
        m.send("\n")
        m.prompt()
        equal(m.shell("echo $((6 * 7))"), "42", "the guest's answer")
