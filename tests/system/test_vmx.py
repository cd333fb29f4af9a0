"""What Hilum does where VMX does not give it what it wants: CPUs that lack something, and guests that no CPU enters."""
import os

from harness import START_S, Machine, bochs, each, equal, guestconfig, machine, quick, true

BOCHS_START_S = 2 * START_S
EXIT = 150  # instructions that no exit with a decoded instruction gets by with


@each(**{"no_nested_paging": ("core2_penryn_t9600", r"\(EPT\)"), "no_unrestricted_guests": ("corei5_lynnfield_750", "unrestricted guests")})
def test_cpu_lacks(cpu, sentence):
    with Machine(None, linux=False, emulator="bochs", cpu=cpu, smp=1) as m:
        m.expect(r"hilum: cannot start: [^\r\n]*" + sentence, BOCHS_START_S)


@each(with_virtual_apic=("corei7_icelake_u", 0, EXIT), without=("corei3_cnl", EXIT, 1200))
def test_end_of_interrupt_in_xapic_mode(cpu, least, most):
    """What it costs the guest, in instructions: with the APIC-access page it makes no exit."""
    if bochs.is_debian(bochs.program()):  # whose own virtual APIC is not used
        least, most = EXIT, 1200
    config = guestconfig.config_text(guestconfig.vm_table("bench", "bench", debug_exit=0xF4, memory="64M", cmdline="only=eoi_mmio"))
    with Machine(config, {"bench": os.path.join(machine.BUILD, "guest", "bench.elf")}, linux=False, emulator="bochs", cpu=cpu, smp=1) as m:
        cost = int(m.expect(r"bench: eoi_mmio (\d+) instructions", BOCHS_START_S, never="panic").group(1))
        true(least <= cost < most, f"an EOI costs {cost} instructions, not {least} to {most}")
        equal(m.finish(), 0, "status")


def bad_entries(*groups, **hardware):
    """Every VM whose state no CPU takes is stopped with the reason in the log, and a good one runs after them."""
    control = {"control": os.path.join(machine.BUILD, "bad_entry.bin")}
    with Machine(None, control, linux=False, without=("control", "driver"), **hardware) as m:
        for name, group in groups:
            m.expect(f"vm {name}: [^\r\n]*{group}", BOCHS_START_S, never="panic")
            m.expect(f"bad_entry: {name}: crash 2, 0 halts", BOCHS_START_S, never="panic")
        m.expect("bad_entry: good: crash 0, 1 halts", BOCHS_START_S, never="panic")
        equal(m.expect(r"bad_entry: (\d+) failed").group(1), "0", "cases that failed")


@quick
def test_state_that_svm_refuses():
    bad_entries(("code segment", r"crash 2 \(detail"), smp=1)


def test_states_that_vmx_refuses():
    bad_entries(("code segment", "group: CS"), ("rip", "group: RIP"), ("task register", "group: TR"), ("stack segment", "group: CS and SS"),
                ("pae table", "page-directory pointers"), emulator="bochs", cpu="corei7_icelake_u", smp=1)
