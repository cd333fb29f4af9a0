"""Frames that change under guests: they share them, move, and want for them, while they check all that they have written."""
import os

from harness import START_S, Machine, equal, long, machine, quick, true

RUN_S = 4 * START_S


def frames_move(**hardware):
    control = {"control": os.path.join(machine.BUILD, "moving_frames.bin")}
    with Machine(None, control, linux=False, memory="2G", without=("control", "driver"), **hardware) as m:
        found = m.expect(r"moving: (\d+) turns, (\d+) rounds: (\d+) pages shared, (\d+) frames saved at most, (\d+) frames moved, (\d+) blocks made",
                         RUN_S, never="panic")
        turns, rounds, shared, saved, moved, blocks = map(int, found.groups())
        true(rounds > 4 and shared > 60 and saved > 0 and moved > 500 and blocks > 0, f"too little has happened: {found.group()}")
        m.expect(r"moving: at most [^\r\n]*", RUN_S, never="panic")
        m.expect(r"moving: vCPUs 0x3 want memory", RUN_S, never="panic")
        equal(m.expect(r"moving: (\d+) failed", RUN_S, never="panic").group(1), "0", "what failed")


@quick
def test_frames_move_under_guests():
    frames_move(smp=2)


def test_frames_move_under_guests_on_vmx():
    frames_move(emulator="bochs", cpu="corei7_icelake_u", smp=2)


@long
def test_frames_move_under_guests_where_the_cpu_saves_the_next_rip():
    frames_move(emulator="bochs", cpu="ryzen", smp=2)
