"""Frames that change under guests: they share them, move, and want for them, while they check all that they have written."""
import os

from harness import START_S, Machine, each, equal, machine, quick, true

RUN_S = 2 * START_S


def frames_move(emulator_scale=1, **hardware):
    control = {"control": os.path.join(machine.BUILD, "moving_frames.bin")}
    with Machine(None, control, linux=False, memory="2G", without=("control", "driver"), **hardware) as m:
        found = m.expect(r"moving: (\d+) turns, (\d+) rounds: (\d+) pages shared, (\d+) frames saved at most, (\d+) frames moved, (\d+) blocks made",
                         RUN_S * emulator_scale, never="panic")
        turns, rounds, shared, saved, moved, blocks = map(int, found.groups())
        true(rounds > 4 and shared > 60 and saved > 8 and moved > 500 and blocks > 0, f"too little has happened: {found.group()}")
        m.expect(r"moving: at most [^\r\n]*", RUN_S, never="panic")
        m.expect(r"moving: vCPUs 0x3 want memory", RUN_S * emulator_scale, never="panic")
        equal(m.expect(r"moving: (\d+) failed", RUN_S * emulator_scale, never="panic").group(1), "0", "what failed")


@quick
def test_frames_move_under_guests():
    frames_move(smp=2)


@each(vmx=("corei7_icelake_u",), svm_with_nrip=("ryzen",))
def test_frames_move_under_guests_on_bochs(cpu):
    frames_move(emulator="bochs", cpu=cpu, smp=2)
