"""Hundreds of small guests on one machine: each lives, each costs the same however many there are, and nothing is left of them."""
import re
import time

from apiclient import ANSWER_S, Api
from harness import Machine, Failed, equal, guestconfig, long, patience, true

import density

FEW, MANY = 100, 500
BEATS = 2  # of every guest, to be seen
BEATS_S = 300  # a beat is a second of the guest's time, which comes late on a busy machine
COUNTED = {"counted": True, "cpu": "EPYC,+svm,+rdrand", "smp": 1}
GROWTH = 1.5  # of what a guest costs, from the few to the many
SPREAD = 1.05  # of its bytes
LEFT_BYTES = 24576  # of a guest that is gone: tables and places for the next one


def appliance(**hardware):
    return Machine(guestconfig.config_text(on_last_guest_exit="stay"), density.MODULES, linux=False, api=True, memory=density.MEMORY, **hardware)


def asker(m):
    """How density.Crowd asks: on one connection, with the serial line read in between."""
    api = Api(m)
    m.expect("api: certificate sha256:", ANSWER_S)
    connection = api.connect()

    def ask(method, path, body):
        connection.request(method, path, body, {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        m.read(0)
        if answer.status not in (200, 201, 202, 204):
            raise Failed(f"{method} {path}: {answer.status}, {data[:300]!r}")
        return data
    return ask


def expect_beats(crowd):
    first, deadline = crowd.beats(), patience.now() + BEATS_S
    equal(len(first), crowd.count, "guests with figures")
    while any(count < first[name] + BEATS for name, count in crowd.beats().items()):
        true(patience.now() < deadline, "every guest's heart beats")
        time.sleep(1)


def live(guests):
    with appliance() as m:
        ask = asker(m)
        crowd = density.Crowd(ask, guests)
        crowd.define()
        before = crowd.taken()
        crowd.boot()
        crowd.list()
        expect_beats(crowd)
        ask("POST", "/api/v1/driver/restart", None)
        m.expect(f"asked for; restarted in .*; {guests} guests carry on", BEATS_S)
        expect_beats(crowd)
        crowd.destroy()
        crowd.undefine()
        left = crowd.taken()[0] - before[0]
        equal(re.findall("crash|panic|not enough memory", m.text), [], "complaints")
        true(left < guests * LEFT_BYTES, f"{left:.0f} bytes are left of {guests} guests")


def test_a_hundred_guests_each_with_a_heartbeat():
    live(FEW)


@long
def test_hundreds_of_guests_each_with_a_heartbeat():
    live(MANY)


def grows(few, many, counts):
    """Complaints about figures that grow with the number of guests."""
    found = []
    for name in density.STEPS:
        print(f"{name}: {few[name]:.0f} instructions a guest of {counts[0]}, {many[name]:.0f} of {counts[1]}")
        if many[name] > GROWTH * few[name]:
            found.append(name)
    for name in ("bytes_all", "bytes_kernel", "bytes_control_heap", "bytes_driver_heap"):
        print(f"{name}: {few[name]:.0f} a guest of {counts[0]}, {many[name]:.0f} of {counts[1]}")
        if many[name] > SPREAD * few[name] + 4096:
            found.append(name)
    return found


def compare(*counts):
    with appliance(**COUNTED) as m:
        ask = asker(m)
        few, many = (density.measure(ask, count) for count in counts)
    equal(grows(few, many, counts), [], "figures that grow with the number of guests")


def test_cost_of_a_guest_does_not_grow():
    compare(20, 80)


@long
def test_cost_of_a_guest_does_not_grow_to_hundreds():
    compare(50, MANY)
