"""The control VM's own card: reached from outside, whatever card and mode the uplink has, over a driver VM's end, and by no guest."""
from harness import BOOT_S, Machine, each, equal, guestconfig, long_cases, quick, true
from test_devices import INTEL
from test_restart import CRASH, PORT, kill
from test_store import API_TOML, Api
from test_virtio import guest, table

OWN = "10.0.2.20"
BRIDGE = "\n[[nic]]\ndevice = '52:54:00:12:34:56'\nmode = 'bridge'\n"
CARDS = {"virtio": "virtio-net-pci,disable-legacy=on,iommu_platform=on", "e1000e": "e1000e"}


def start(api, text, card="virtio"):
    network = (*api.network[:3], f"{CARDS[card]},netdev=n0,mac=52:54:00:12:34:56")
    return Machine(text, extra=(*INTEL, *network))


def ready(m, api):
    api.token = m.expect(r"hilum: api: first token .*: (hilum_\S{43})", BOOT_S).group(1)
    m.expect("hilum: api: certificate", BOOT_S)


def answers(api):
    status, host = api.request("GET", "/host")
    equal(status, 200, "status of the host")
    return host


@each(nat_virtio=("", "virtio"), nat_e1000e=("", "e1000e"), bridge_virtio=(BRIDGE, "virtio"), bridge_e1000e=(BRIDGE, "e1000e"))
@long_cases("nat_e1000e", "bridge_virtio")
def test_reached_from_outside_and_by_no_guest(uplink, card):
    api = Api()
    with start(api, API_TOML + guest(devices=table("nic"), debug_crash=PORT) + uplink, card) as m:
        ready(m, api)
        equal(answers(api)["addresses"][0], OWN, "the first address")
        m.prompt()
        m.shell("until ping -c 1 -W 1 10.0.2.2 >/dev/null; do :; done", within_s=60)
        equal(m.shell(f"ping -c 3 -W 1 {OWN} >/dev/null && echo reached || echo not reached"), "not reached", "the control VM")
        kill(m, CRASH)
        host = answers(api)
        equal(host["driver_vm"], {"state": "running", "restarts": 1}, "the driver VM")


@quick
def test_card_of_its_own_where_guests_have_no_uplink():
    api = Api()
    with start(api, "nic = []\n" + API_TOML) as m:
        ready(m, api)
        answers(api)
        true("hilum: nat:" not in m.text, "there is a gateway that nobody asked for")


def test_without_https_there_is_no_card():
    api = Api()
    with start(api, guestconfig.config_text(on_last_guest_exit="stay") + "\n[api]\nenabled = false\n") as m:
        m.expect("hilum: nat: guests with 10.0.100.0/24 reach the outside", BOOT_S)
        true("own network card" not in m.text, "it has a card")
