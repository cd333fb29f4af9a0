"""Channels between VMs: memory that two guests have in common, and doorbells; nobody has one who was not given it."""
import contextlib

import test_guests
from apiclient import Api
from harness import BOOT_S, PROMPT, Failed, Machine, equal, guestconfig, long, patience, quick, true
from test_life import say
from test_recover import CRASH, answers
from test_restart import PORT
from test_virtio import guest, table

DEVICE = "d=$(grep -l 0x1110 /sys/bus/pci/devices/*/device); d=${d%/device}; "
REGISTERS = "set -- $(sed -n 1p $d/resource); "
MEMORY = "set -- $(sed -n 3p $d/resource); "


def channel(peer, name="c", **keys):
    return table("channel", name=name, peer=peer, **keys)


def vm(name, channels="", **keys):
    return guest(name, channels, vcpus=1, memory="128M", **keys)


def wait_prompt(console):
    """Of a console without what was there before; the prompt may have been."""
    deadline = patience.now() + BOOT_S
    while True:
        console.send(b"\n")
        try:
            return console.expect(PROMPT, 3)
        except Failed:
            if patience.now() > deadline:
                raise


@contextlib.contextmanager
def prompts(api, *names):
    """Their consoles at their prompts, each with $d, the device, $r and $m, where registers and memory are, and $s, its size."""
    with contextlib.ExitStack() as stack:
        consoles = [stack.enter_context(api.console(name, tail=0)) for name in names]
        for console in consoles:
            wait_prompt(console)
            say(console, DEVICE + "echo 1 >$d/enable; " + REGISTERS + "r=$1; " + MEMORY + "m=$1; s=$(($2 - $1 + 1)); echo size''d $s",
                r"sized \d+")
        yield consoles


def word(console, at):
    return int(say(console, f"echo fou''nd $(devmem $(({at})) 32)", r"found (0x[0-9A-Fa-f]{8})").group(1), 16)


def put(console, at, value):
    say(console, f"devmem $(({at})) 32 {value:#x}; echo wri''tten", "written")


def test_two_guests_have_memory_and_doorbells_in_common_and_a_third_has_none():
    tables = (vm("one", channel("two"), debug_crash=PORT), vm("two", channel("one")), vm("three"))
    with Machine(guestconfig.config_text(*tables, on_last_guest_exit="stay"), api=True, memory="1G") as m:
        api = Api(m)
        with api.console("three") as console:
            console.expect(PROMPT, BOOT_S)
            say(console, "echo fou''nd $(grep -l 0x1110 /sys/bus/pci/devices/*/device | wc -l)", "found 0")
        with prompts(api, "one", "two") as (one, two):
            say(one, "echo size''d $s", "sized 1048576")
            equal((word(one, "r + 8"), word(two, "r + 8")), (0, 1), "who they are, in the order of their names")
            equal(word(two, "m"), 0, "the memory at first")
            for at, value in (("m", 0x11223344), ("m + s - 4", 0xCAFE)):
                put(one, at, value)
                equal(word(two, at), value, "what one writes and two reads")
            put(two, "m", 0x55667788)
            equal(word(one, "m"), 0x55667788, "and the other way")
            # Without MSI-X a doorbell is seen in the status, which reading clears.
            put(one, "r + 12", 0x10003)
            equal((word(two, "r + 4"), word(two, "r + 4")), (1, 0), "two's status")
            put(one, "r + 12", 0x3)
            put(one, "r + 12", 0x20003)
            put(one, "r + 12", 0x10008)
            equal((word(one, "r + 4"), word(two, "r + 4")), (0, 0), "after doorbells of nobody's")
            api.expect(202, "POST", "/driver/restart")
            m.expect("hilum: driver VM: .*restarted in", BOOT_S)
            word(one, "r + 4"), word(two, "r + 4")  # a ring may have been lost: all are told
            one.send(f"debug-exit {PORT:#x} {CRASH}\n".encode())
            m.expect(r"control VM: triple fault; restarted in \d+ ms; 3 guests carry on", BOOT_S)
        answers(api)
        with prompts(api, "one", "two") as (one, two):
            equal((word(one, "m + s - 4"), word(two, "m")), (0xCAFE, 0x55667788), "what was there before both VMs' ends")
            put(two, "r + 12", 0x7)
            equal(word(one, "r + 4"), 1, "one's status")


@long
def test_the_memory_lives_as_long_as_one_of_the_two():
    tables = (vm("one", channel("two")), vm("two", channel("one")))
    with Machine(guestconfig.config_text(*tables, on_last_guest_exit="stay"), api=True, memory="1G") as m:
        api = Api(m)
        with prompts(api, "one", "two") as (one, two):
            put(one, "m", 0x55667788)
            api.act("one", "shutdown", force=True)
            equal(word(two, "m"), 0x55667788, "the memory without one")
            put(two, "r + 12", 0x7)
            api.act("one", "boot")
        with prompts(api, "one") as (one,):
            equal(word(one, "m"), 0x55667788, "the memory after one's return")
        for name in ("one", "two"):
            api.act(name, "shutdown", force=True)
        api.act("two", "boot")
        with prompts(api, "two") as (two,):
            equal(word(two, "m"), 0, "the memory after both have ended")


def doorbells(rounds, **hardware):
    def end(name, peer):
        return test_guests.table(name, "channel", memory="64M", cmdline=f"rounds={rounds}") + channel(peer)

    text = guestconfig.config_text(end("one", "two"), end("two", "one"))
    with Machine(text, {"channel": test_guests.guest("channel")}, linux=False, **hardware) as m:
        m.expect("guest: 2 passed, 0 failed", test_guests.GUEST_S, never="FAIL|SKIP")  # the other one's console is not shown
        m.finish()
        equal(m.verdict.ends, {name: ("debug-exit", "0") for name in ("one", "two")}, "their ends")


@quick
def test_doorbells_interrupt():
    doorbells(500)


def test_doorbells_interrupt_under_vmx():
    doorbells(100, emulator="bochs", cpu="tigerlake")


def test_a_channel_that_the_other_vm_does_not_declare_is_refused_and_audited():
    tables = (vm("one", channel("two")), vm("two", channel("one", size="64K")), vm("three", channel("nobody")), vm("four", channel("one")))
    with Machine(guestconfig.config_text(*tables, on_last_guest_exit="stay"), api=True, memory="1G") as m:
        for name, peer in (("one", "two"), ("two", "one"), ("three", "nobody"), ("four", "one")):
            m.expect(rf'vm {name}: channel\[0\].peer: channel "c" with VM "{peer}": that VM does not declare it', BOOT_S)
        api = Api(m)
        for name, peer in (("one", "two"), ("two", "one"), ("three", "nobody"), ("four", "one")):
            equal(api.vm(name)["state"], "shutoff", name)
            kinds = [event["kind"] for event in api.events() if event["name"] == name]
            equal(kinds.count("vm.channel-refused"), 1, "events")
            entries = api.expect(200, "GET", "/audit")["entries"]
            true(any(entry["method"] == "CHANNEL" and entry["path"] == f"{name} channel[0].peer {peer}" for entry in entries), f"{entries}")
        equal(api.expect(422, "POST", "/vms/four/boot")["field"], "channel[0].peer")
        config = {"kernel": "vmlinuz", "initrd": "initrd", "cmdline": "console=ttyS0 quiet", "memory": "128M",
                  "channel": [{"name": "c", "peer": "one", "size": "1M"}]}
        api.expect(200, "PUT", "/vms/two", config)
        api.act("one", "boot")
        api.act("two", "boot")
