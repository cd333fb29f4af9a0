"""Memory that guests share: who may start, what comes back, who waits and who ends when there is none, identical pages, and compaction."""
import contextlib
import time

from apiclient import Api
from harness import BOOT_S, COMMAND_S, PROMPT, Machine, equal, guestconfig, long, patience, true
import test_guests
from test_guests import GUEST_S
from test_life import say
from test_virtio import guest

MIB = 1 << 20


def machine(*tables, hilum="", **hardware):
    text = guestconfig.config_text(*tables, on_last_guest_exit="stay").replace("[hilum]\n", "[hilum]\n" + hilum, 1)
    return Machine(text, api=True, **hardware)


def until(condition, within_s, what):
    """Asks again and again; what it found last tells what is wrong."""
    deadline = patience.now() + within_s
    while not (found := condition()):
        true(patience.now() < deadline, what)
        time.sleep(0.3)
    return found


def memory_of(api):
    """The machine's."""
    return api.expect(200, "GET", "/host")["memory"]


def resident(api, name="linux"):
    return api.vm(name)["stats"]["memory"]["resident_bytes"]


def uptime(console):
    return float(say(console, "cat /proc/uptime", r"\n(\d+\.\d+) ").group(1))


def freed(mib, memory, host):
    """A guest that frees so much gives it back within 15 s of its time."""
    with machine(guest(balloon="0K", memory=memory), memory=host) as m:
        api = Api(m)
        with api.console("linux") as console:
            console.expect(PROMPT, BOOT_S)
            use(console, mib)
            full = resident(api)
            true(full > mib * MIB, f"{full >> 20} MiB are the guest's")
            say(console, "rm /mnt/f; echo re''moved", "removed", 60)
            begun = uptime(console)
            back = full - mib * MIB * 88 // 100
            until(lambda: resident(api) < back, 120, f"{resident(api) >> 20} MiB are the guest's of {full >> 20} MiB")
            took = uptime(console) - begun
            print(f"a guest that frees {mib} MiB has given them back after {took:.1f} s of its time")
            true(took < 15, f"it took {took:.1f} s")


def test_what_a_guest_frees_comes_back():
    freed(400, "640M", "1200M")


@long
def test_a_gibibyte_that_a_guest_frees_comes_back():
    freed(1024, "1400M", "2G")


def test_a_vm_that_cannot_be_promised_its_memory_is_not_started():
    tables = (guest("one", memory="600M", prefault=False), guest("two", memory="600M", prefault=False))
    with machine(*tables, memory="1G") as m:
        m.expect(r"vm two: it may use 600 MiB, and \d+ MiB are missing \(\d+ MiB free, \d+ MiB promised to others\): give it less", BOOT_S)
        api = Api(m)
        equal(api.vm("two")["state"], "shutoff")
        refused = api.expect(507, "POST", "/vms/two/boot")
        true("missing" in refused["detail"] and "overcommit" in refused["detail"], f"it says what to change: {refused['detail']}")
        host = memory_of(api)
        true(host["promised_bytes"] == 600 * MIB and host["spare_bytes"] < 600 * MIB, f"{host}")
        api.act("one", "shutdown", force=True)
        api.act("two", "boot")


@contextlib.contextmanager
def at_prompt(api, name):
    """Its console, for a while: one that is not read is closed by the API."""
    with api.console(name) as console:
        console.expect(PROMPT, BOOT_S)
        yield console


def use(console, mib, within_s=240):
    """Has the guest use so much, and keep it."""
    console.send(f"mount -t tmpfs -o size=100% none /mnt; dd if=/dev/zero of=/mnt/f bs=1M count={mib} 2>/dev/null; echo us''ed\n".encode())
    if within_s:
        console.expect("used", within_s)
        console.expect(PROMPT, COMMAND_S)


def target(api, name):
    return api.vm(name)["stats"]["memory"]["balloon_target_bytes"]


@long
def test_where_memory_is_short_balloons_are_asked_and_let_go_again():
    tables = [guest(name, balloon="0K", memory="700M", memory_min="64M") for name in ("one", "two")]
    with machine(*tables, hilum="overcommit = 300\n", memory="1G") as m:
        api = Api(m)
        with at_prompt(api, "one") as console:
            use(console, 450)
        with at_prompt(api, "two") as console:
            free = memory_of(api)["free_bytes"]
            use(console, (free >> 20) - 34)
            until(lambda: target(api, "one") and target(api, "two"), 60, "both are asked")
            true(target(api, "one") < 640 * MIB, "its guarantee is left to it")
            say(console, "rm /mnt/f; echo re''moved", "removed", 60)
            until(lambda: target(api, "one") == 0 == target(api, "two"), 120, "nobody is asked any more")
        with at_prompt(api, "one") as console:
            say(console, "ls -l /mnt/f", str(450 * MIB))
        equal({event["name"] for event in api.events() if event["kind"] == "vm.balloon"}, {"one", "two"}, "who was asked")
        for name in ("one", "two"):
            equal(api.vm(name)["state"], "running", name)


@long
def test_out_of_memory_names_the_vm_and_stops_no_other():
    tables = [guest(name, prefault=False, memory="640M", memory_min="64M") for name in ("one", "two")]
    with machine(*tables, hilum="overcommit = 300\n", memory="1G") as m:
        api = Api(m)
        with at_prompt(api, "one") as console:
            use(console, 480)
        with at_prompt(api, "two") as console:
            use(console, 560, within_s=0)
            api.state("two", "crashed", 240)
        equal(api.vm("two")["last_exit"], "crash (out of memory)")
        event = [event for event in api.events() if event["kind"] == "vm.out-of-memory"]
        equal([found["name"] for found in event], ["two"], "who")
        with at_prompt(api, "one") as console:
            say(console, "ls -l /mnt/f", "503316480")
        equal(api.vm("one")["state"], "running")
        equal(api.expect(200, "GET", "/host")["driver_vm"], {"state": "running", "restarts": 0}, "the driver VM")


@long
def test_a_vm_that_reaches_its_limit_ends():
    with machine(guest(balloon="0K", memory="512M", memory_max="256M")) as m:
        api = Api(m)
        with api.console("linux") as console:
            console.expect(PROMPT, BOOT_S)
            until(lambda: api.vm("linux")["stats"]["memory"]["balloon_bytes"] > 200 * MIB, 60, "its balloon has taken the rest")
            limits = api.expect(200, "GET", "/vms/linux/memory-limits")
            equal((limits["max_bytes"], limits["min_bytes"], limits["balloon_target_bytes"]), (256 * MIB, 64 * MIB, 256 * MIB), "limits")
            api.expect(200, "PUT", "/vms/linux/memory-limits", {"max_bytes": 384 * MIB})
            until(lambda: api.vm("linux")["stats"]["memory"]["balloon_bytes"] < 150 * MIB, 60, "it has got some back")
            api.expect(422, "PUT", "/vms/linux/memory-limits", {"max_bytes": 1024 * MIB})
            api.expect(422, "PUT", "/vms/linux/memory-limits", {"max_bytes": 64 * MIB, "min_bytes": 65 * MIB})
            console.send(b"for d in /sys/bus/virtio/drivers/virtio_balloon/virtio*; do echo ${d##*/} >${d%/*}/unbind; done\n")
            use(console, 440, within_s=0)
            api.state("linux", "crashed", 120)
            equal(api.vm("linux")["last_exit"], "crash (out of memory)")


@long
def test_two_clones_share_a_third_of_their_memory():
    tables = [guest(name, memory="160M", vcpus=1, share=True, tenant="t", cmdline="nokaslr") for name in ("one", "two")]
    with machine(*tables, hilum="share_rate = 20000\n", memory="1G") as m:
        api = Api(m)
        for name in ("one", "two"):
            with at_prompt(api, name) as console:
                say(console, "dd if=/bin/busybox of=/tmp/f bs=1M 2>/dev/null; echo co''pied", "copied")

        def saved():
            memory = memory_of(api)
            return memory["saved_bytes"], resident(api, "one") + resident(api, "two")
        found = until(lambda: (now := saved())[0] * 100 >= 30 * now[1] and now, 180, f"{saved()} bytes are saved, of all")
        print(f"two clones of a booted guest save {100 * found[0] // found[1]} percent of {found[1] >> 20} MiB")

        def sum_of(console):
            return say(console, "md5sum /tmp/f", r"\n([0-9a-f]{32}) ").group(1)
        # A write gives the writer a page of its own, and changes nothing for the other one.
        with at_prompt(api, "one") as console:
            before = sum_of(console)
            say(console, "dd if=/dev/urandom of=/tmp/f bs=64k count=8 conv=notrunc 2>/dev/null; echo wri''tten", "written")
            true(sum_of(console) != before, "its own")
        with at_prompt(api, "two") as console:
            equal(sum_of(console), before, "the other one's file")


def compacted(m, api):
    """The figures of the machine's memory before and after."""
    before = memory_of(api)
    api.expect(202, "POST", "/host/compact")
    return before, until(lambda: (now := memory_of(api))["compaction"]["state"] == "idle" and now, 180, "it ends")


def test_compaction_doubles_the_largest_free_block_and_the_guest_there_never_notices():
    """Two guests take nearly all memory page by page, at the same time; then one goes."""
    tables = [test_guests.table(name, "neighbour", memory="272M", prefault=False, hugepages=False, cmdline="pages=68000 seconds=1000000")
              for name in ("one", "two")]
    text = guestconfig.config_text(*tables, on_last_guest_exit="stay")
    with Machine(text, {"neighbour": test_guests.guest("neighbour")}, linux=False, api=True, memory="640M", smp=2) as m:
        api = Api(m)
        m.expect(r"neighbour: second 1 of", BOOT_S)  # one of them; the other one's console is its own
        until(lambda: resident(api, "two") > 68000 * 4096, BOOT_S, "the other one has its memory, too")
        api.act("two", "shutdown", force=True)
        before, after = compacted(m, api)
        largest = before["largest_free_bytes"], after["largest_free_bytes"]
        moved = after["compaction"]["moved_bytes"]
        print(f"the largest free block was {largest[0] >> 10} KiB and is {largest[1] >> 10} KiB; {moved >> 20} MiB moved")
        true(largest[1] >= 2 * largest[0] and moved > 0, f"the largest free block was {largest[0]} and is {largest[1]}; {moved} bytes moved")
        m.expect(r"neighbour: second \d+ of", GUEST_S)
        m.expect(r"neighbour: second \d+ of", GUEST_S)  # it has verified all of it since
        equal(api.vm("one")["state"], "running")


@long
def test_compaction_under_a_guest_that_checks_its_memory():
    """Beside a third one, two guests take small pages in turn; one and the third go, and the other one's memory is moved together."""
    tables = [guest("big", memory="720M", vcpus=1)]
    tables += [guest(name, memory="256M", vcpus=1, prefault=False, hugepages=False) for name in ("one", "two")]
    with machine(*tables, memory="1536M") as m:
        api = Api(m)
        fill = b"mount -t tmpfs -o size=100% none /mnt; dd if=/dev/urandom of=/mnt/f bs=1M count=96 2>/dev/null; echo us''ed\n"
        api.act("big", "pause")  # it only takes room
        with at_prompt(api, "two") as console:
            console.send(fill)
        with at_prompt(api, "one") as console:
            console.send(fill)
            console.expect("used", 240)
            console.expect(PROMPT, COMMAND_S)
            with api.console("two") as other:
                other.expect("\nused", 240)
            api.act("two", "shutdown", force=True)
            api.act("big", "shutdown", force=True)
            sums = say(console, "md5sum /mnt/f", r"\n([0-9a-f]{32}) ", 120).group(1)
            console.send(b"for i in 1 2; do md5sum /mnt/f; done; echo che''cked\n")
            before = memory_of(api)["largest_free_bytes"]
            equal(api.expect(202, "POST", "/host/compact")["runs"], 1, "it began")
            found = until(lambda: (now := memory_of(api))["compaction"]["state"] == "idle" and now, 180, "it ends")
            for _ in range(2):
                equal(console.expect(r"\n([0-9a-f]{32}) ", 240).group(1), sums, "the sum meanwhile")
            console.expect("checked", COMMAND_S)
            console.expect(PROMPT, COMMAND_S)
            after = found["largest_free_bytes"]
            moved = found["compaction"]["moved_bytes"]
            print(f"largest free block: {before >> 10} KiB before, {after >> 10} KiB after; {moved >> 20} MiB moved")
            true(moved > 64 * MIB and after >= before, f"{moved} bytes moved; the largest free block was {before} and is {after}")
            equal(say(console, "md5sum /mnt/f", r"\n([0-9a-f]{32}) ", 120).group(1), sums, "the sum at last")
