"""usage: conformance.py SIMULATOR OPENAPI.YAML"""
import pathlib
import re
import subprocess
import sys
import time

import jsonschema
import yaml

from client import Simulator

METHODS = ("get", "put", "post", "delete")


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.tree = yaml.safe_load(file)

    def resolve(self, node):
        while "$ref" in node:
            reference, node = node["$ref"], self.tree
            for part in reference[2:].split("/"):
                node = node[part]
        return node

    def operations(self):
        for path, item in self.tree["paths"].items():
            base = item.get("get", {}).get("servers", self.tree["servers"])[0]["url"].rstrip("/")
            base = item.get("servers", [{"url": base}])[0]["url"].rstrip("/")
            for method in METHODS:
                if method in item:
                    yield method, base + path, item[method]

    def find(self, method, path):
        for known, pattern, operation in self.operations():
            if known == method.lower() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return operation
        raise AssertionError(f"{method} {path} is not in the document")

    def schema_of(self, method, path, status, kind):
        answers = self.find(method, path)["responses"]
        answer = self.resolve(answers.get(str(status), answers.get("default", {})))
        assert kind in answer.get("content", {}), f"{method} {path}: {status} with {kind} is not in the document"
        return answer["content"][kind].get("schema", {})

    def validate(self, schema, value):
        # A schema's references are to the document.
        # OpenAPI 3.0's schemas are those of JSON Schema 4 as far as this document goes.
        jsonschema.Draft4Validator(schema, resolver=jsonschema.RefResolver("", self.tree),
                                   format_checker=jsonschema.FormatChecker()).validate(value)


class Checked:
    """A simulator whose every answer is checked by the document."""

    def __init__(self, sim, document):
        self.sim, self.document = sim, document

    def ask(self, method, path, body=None, *, expect, **options):
        answer = self.sim.ask(method, path, body, **options)
        assert answer.status == expect, f"{method} {path}: {answer.status} instead of {expect}: {answer.body!r}"
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        if kind.endswith("json"):
            value = answer.json()
            self.document.validate(self.document.schema_of(method, path.split("?")[0], answer.status, kind), value)
            if answer.status >= 400:
                assert kind == "application/problem+json" and value["status"] == answer.status
        elif answer.status not in (204, 304):
            self.document.schema_of(method, path.split("?")[0], answer.status, kind)
        return answer


def check_routes(simulator, document):
    """Every path of the document is a route with its role, and every route is in the document."""
    lines = subprocess.run([simulator, "--routes"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    routes = {(method, path): (role, socket) for method, path, role, socket in (line.split() for line in lines)}
    written = {}
    for method, path, operation in document.operations():
        role = operation["x-role"]
        socket = "-"
        if "101" in operation["responses"]:
            socket = operation.get("x-role-websocket", role)
        written[(method.upper(), path)] = (role, socket)
    assert routes == written, sorted(set(routes.items()) ^ set(written.items()))


def check_examples(document):
    """Every example of the document is valid by its schema."""
    def walk(node):
        if isinstance(node, dict):
            if "schema" in node and "example" in node:
                document.validate(node["schema"], node["example"])
            for example in node.get("examples", {}).values() if "schema" in node else ():
                document.validate(node["schema"], example["value"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)
    walk({key: value for key, value in document.tree.items() if key != "components"})
    walk(document.tree["components"]["responses"])


def check_definitions(api):
    vm = "/api/v1/vms/test"
    made = api.ask("PUT", vm, {"kernel": "vmlinuz", "memory": 67108864}, expect=201, headers={"If-None-Match": "*"})
    first = made.headers["ETag"]
    assert made.json()["config"]["memory"] == "64M"
    assert api.ask("PUT", vm, {"kernel": "vmlinuz", "memory": "64M"}, expect=200).headers["ETag"] == first
    assert api.ask("PUT", vm, made.json()["config"], expect=200).headers["ETag"] == first
    api.ask("PUT", vm, {"kernel": "vmlinuz"}, expect=412, headers={"If-None-Match": "*"})
    api.ask("PUT", vm, {"kernel": "vmlinuz"}, expect=412, headers={"If-Match": '"999"'})
    changed = api.ask("PUT", vm, {"kernel": "vmlinuz", "vcpus": 2}, expect=200, headers={"If-Match": first})
    assert changed.headers["ETag"] != first and changed.json()["config"]["memory"] == "256M"
    full = {"name": "test", "kernel": "vmlinuz", "initrd": "initrd", "cmdline": "quiet \u00e9 \"x\"", "memory": "128M", "prefault": False,
            "hugepages": False, "vcpus": 3, "weight": 512, "cap": 150, "reservation": 20, "cpus": "0-2,5",
            "dedicated": False, "serial": True, "console": "virtio", "debug_exit": 0xf4,
            "debug_crash": 0xf5, "rng": True, "balloon": "32M", "memory_max": "112M", "memory_min": "16M",
            "share": True, "tenant": "t", "packed": True, "profile": "bare", "on_poweroff": "restart",
            "on_reboot": "preserve", "on_crash": "coredump-restart", "vcpus_max": 4, "watchdog": "wdat", "on_watchdog": "pause",
            "autostart": True,
            "disk": [{"module": "disk.img", "readonly": True, "serial": "s", "num_queues": 2, "iops": 100, "bandwidth": "50MB/s"},
                     {"device": "00:04.0", "readonly": False, "partlabel": "home", "num_queues": 1},
                     {"device": "00:1f.2/1", "readonly": False, "partuuid": "0fc63daf-8483-4772-8e79-3d69d8477de4", "num_queues": 1},
                     {"device": "x", "readonly": False, "partition": 3, "num_queues": 1}],
            "nic": [{"mac": "02:00:00:00:00:07", "bridge": "lab", "tenant": "t", "vlan": 7, "trunk": True, "spoof": False,
                     "ip": ["10.0.0.5", "fd00:0:0:0:0:0:0:5"], "rate": "1MB/s", "mtu": 9000, "num_queues": 2, "offload": False}],
            "channel": [{"name": "c", "peer": "other", "size": "64K"}]}
    answer = api.ask("PUT", vm, full, expect=200).json()
    del full["name"]
    assert answer["config"] == full, (answer["config"], full)
    for body, field in (({"kernel": "vmlinuz", "memory": "3M"}, "memory"), ({"kernel": 7}, "kernel"), ({}, "kernel"),
                        ({"kernel": "k", "disk": [{"module": "a"}, {"modul": "b"}]}, "disk[1].modul"),
                        ({"kernel": "k", "disk": [{"module": "a"}, {}]}, "disk[1]"), ({"kernel": "k", "nic": [{"mtu": 1}]}, "nic[0].mtu"),
                        ({"kernel": "k", "nic": [{"mac": "02:48:4c:00:00:00"}]}, "nic[0].mac"), ({"kernel": "k", "name": "other"}, "name"),
                        ({"kernel": "k", "channel": [{"name": "c", "peer": "p"}, {"name": "d", "peer": "p", "size": "3M"}]}, "channel[1].size"),
                        ({"kernel": "k", "channel": [{"name": "c", "peer": "test"}]}, "channel[0].peer")):
        assert api.ask("PUT", vm, body, expect=422).json()["field"] == field, (body, field)
    api.ask("PUT", vm, b"{", expect=422, headers={"Content-Type": "application/json"})
    api.ask("PUT", vm, b"{}", expect=415, headers={"Content-Type": "text/plain"})
    api.ask("PUT", "/api/v1/vms/hilum", {"kernel": "k"}, expect=422)
    api.ask("PUT", vm, {"kernel": "k", "cmdline": "x" * 140000}, expect=413)
    api.ask("DELETE", vm, expect=204)
    api.ask("GET", vm, expect=404)


def check_schedules(api):
    schedule = "/api/v1/vms/linux/schedule"
    before = api.ask("GET", "/api/v1/vms/linux", expect=200).json()
    assert api.ask("GET", schedule, expect=200).json() == {"weight": 256, "cap": 0, "reservation": 0, "cpus": "all", "dedicated": False}
    wanted = {"weight": 512, "cap": 150, "reservation": 50, "cpus": "0-1,3", "dedicated": False}
    assert api.ask("PUT", schedule, wanted, expect=200).json() == wanted
    after = api.ask("GET", "/api/v1/vms/linux", expect=200).json()
    assert not after["change_pending"] and after["starts"] == before["starts"] and after["version"] > before["version"], after
    assert all(after["config"][key] == value for key, value in wanted.items()), after["config"]
    assert api.ask("PUT", schedule, {"cap": 0}, expect=200).json() == {**wanted, "cap": 0}
    for body, field in (({"cap": 201}, "cap"), ({"cap": 10}, "reservation"), ({"cpus": "7"}, "cpus"), ({"memory": "1G"}, "memory"),
                        ({"dedicated": True}, "reservation"), ({"weight": 0}, "weight"), ({"cpus": "1", "dedicated": True}, "dedicated")):
        assert api.ask("PUT", schedule, body, expect=422).json()["field"] == field, (body, field)
    assert api.ask("GET", schedule, expect=200).json() == {**wanted, "cap": 0}
    api.ask("PUT", "/api/v1/vms/none/schedule", {}, expect=404)
    api.ask("PUT", schedule, {"weight": 256, "reservation": 0, "cpus": "all"}, expect=200)


def check_memory(api):
    vm = "/api/v1/vms/limited"
    api.ask("PUT", vm, {"kernel": "vmlinuz", "memory": "64M", "balloon": "0K", "memory_min": "8M"}, expect=201)
    api.ask("GET", vm + "/memory-limits", expect=409)
    api.ask("POST", vm + "/boot", expect=202)
    limits = api.ask("GET", vm + "/memory-limits", expect=200).json()
    assert (limits["max_bytes"], limits["min_bytes"]) == (64 << 20, 8 << 20), limits
    limits = api.ask("PUT", vm + "/memory-limits", {"max_bytes": 32 << 20}, expect=200).json()
    assert (limits["max_bytes"], limits["min_bytes"]) == (32 << 20, 8 << 20), limits
    for body, field in (({"max_bytes": 1 << 40}, "max_bytes"), ({"min_bytes": 1 << 40}, "min_bytes"), ({"max": 1}, "max"), ({"max_bytes": "x"}, "max_bytes")):
        assert api.ask("PUT", vm + "/memory-limits", body, expect=422).json()["field"] == field, body
    api.ask("POST", vm + "/shutdown", {"force": True}, expect=202)
    api.ask("DELETE", vm, expect=204)
    assert api.ask("POST", "/api/v1/host/compact", expect=202).json()["state"] == "running"
    api.ask("POST", "/api/v1/host/compact", expect=409)


def wait_for(api, name, state, starts=0):
    """Until the VM is in this state, having been started so often."""
    deadline = time.monotonic() + 60
    while True:
        vm = api.ask("GET", f"/api/v1/vms/{name}", expect=200).json()
        if vm["state"] == state and vm["starts"] >= starts:
            return
        assert time.monotonic() < deadline, f"{name} is not {state}"
        time.sleep(0.05)


def check_life(api):
    vm = "/api/v1/vms/spare"
    api.ask("POST", vm + "/shutdown", expect=409)
    api.ask("POST", vm + "/boot", expect=202)
    api.ask("POST", vm + "/boot", expect=409)
    api.ask("DELETE", vm, expect=409)
    api.ask("POST", vm + "/pause", expect=202)
    before = api.ask("GET", vm, expect=200).json()["stats"]["cpu_ns"]
    assert api.ask("GET", vm, expect=200).json()["stats"]["cpu_ns"] == before
    api.ask("POST", vm + "/resume", expect=202)
    api.ask("POST", vm + "/nmi", expect=202)
    api.ask("POST", vm + "/reset", expect=202)
    api.ask("POST", vm + "/reboot", {"timeout_seconds": 30}, expect=202)
    api.ask("POST", vm + "/shutdown", {"timeout_seconds": -1}, expect=422)
    api.ask("POST", vm + "/shutdown", {"timeout": 1}, expect=422)
    wait_for(api, "spare", "running", starts=3)
    api.ask("POST", vm + "/power-button", expect=202)
    wait_for(api, "spare", "shutoff")
    changed = {"kernel": "vmlinuz", "memory": "64M"}
    assert api.ask("PUT", "/api/v1/vms/linux", changed, expect=200).json()["change_pending"]
    api.ask("POST", "/api/v1/vms/linux/shutdown", {"force": True}, expect=202)
    assert api.ask("GET", "/api/v1/vms/linux", expect=200).json()["config"]["memory"] == "64M"
    api.ask("PUT", "/api/v1/vms/linux", {"kernel": "missing"}, expect=200)
    assert api.ask("POST", "/api/v1/vms/linux/boot", expect=422).json()["field"] == "kernel"
    api.ask("PUT", "/api/v1/vms/linux", changed, expect=200)
    api.ask("POST", "/api/v1/vms/linux/boot", expect=202)
    api.ask("POST", "/api/v1/driver/restart", expect=202)
    for end, state in (("reboot", "rebooting"), ("poweroff", "powering-off")):
        api.ask("POST", "/api/v1/host/" + end, {"timeout_seconds": 86401}, expect=422)
        api.ask("POST", "/api/v1/host/" + end, {"delay": 1}, expect=422)
        assert api.ask("GET", "/api/v1/vms/linux", expect=200).json()["state"] == "running"
        assert api.ask("POST", "/api/v1/host/" + end, {"timeout_seconds": 5}, expect=202).json() == {"state": state}
        assert api.ask("GET", "/api/v1/vms/linux", expect=200).json()["state"] == "shutoff"
        api.ask("POST", "/api/v1/vms/linux/boot", expect=202)


def check_images(api):
    image = "/api/v1/images/test.img"
    content = bytes(range(256)) * 4096
    assert api.ask("PUT", image, content, expect=201).json()["bytes"] == len(content)
    api.ask("PUT", image, content, expect=200)
    api.ask("PUT", "/api/v1/images/vmlinuz", content, expect=409)
    api.ask("PUT", "/api/v1/images/.hidden", content, expect=422)
    api.ask("PUT", image, b"", expect=422)
    assert any(entry["name"] == "test.img" for entry in api.ask("GET", "/api/v1/images", expect=200).json()["images"])
    api.ask("DELETE", image, expect=204)
    api.ask("DELETE", image, expect=404)
    api.ask("DELETE", "/api/v1/images/vmlinuz", expect=409)


def check_tokens(api, sim):
    tokens = {}
    for role in ("viewer", "operator", "admin"):
        made = api.ask("POST", "/api/v1/tokens", {"name": "a-" + role, "role": role}, expect=201).json()
        tokens[role] = made["token"]
        assert api.ask("GET", "/api/v1/whoami", expect=200, token=made["token"]).json()["role"] == role
    api.ask("POST", "/api/v1/tokens", {"name": "a-admin", "role": "admin"}, expect=409)
    api.ask("POST", "/api/v1/tokens", {"name": "b", "role": "root"}, expect=422)
    api.ask("POST", "/api/v1/tokens", {"name": "b"}, expect=422)
    check_roles(api, tokens)
    with_socket = sim.socket("/api/v1/events?since=0", token=tokens["viewer"])
    assert with_socket.status == 101
    api.ask("DELETE", "/api/v1/tokens/a-viewer", expect=204)
    while True:  # what is withdrawn is closed, not only refused anew
        opcode, payload = with_socket.receive()
        if opcode == 8:
            assert payload == b"\x03\xf0"
            break
    with_socket.close()
    api.ask("GET", "/api/v1/host", expect=401, token=tokens["viewer"])
    api.ask("DELETE", "/api/v1/tokens/a-admin", expect=204)
    api.ask("DELETE", "/api/v1/tokens/first", expect=409)
    api.ask("DELETE", "/api/v1/tokens/a-operator", expect=204)
    api.ask("DELETE", "/api/v1/tokens/a-operator", expect=404)


def check_roles(api, tokens):
    """Each operation is refused without a token, and with a token of less than its role. What the role allows is for other checks."""
    order = ["viewer", "operator", "admin"]
    for method, path, operation in api.document.operations():
        role = operation["x-role"]
        path = path.replace("{name}", "linux")
        if role == "none":
            api.ask(method.upper(), path, expect=200, token="")
            continue
        answer = api.ask(method.upper(), path, expect=401, token="")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        for less in order[:order.index(role)]:
            api.ask(method.upper(), path, expect=403, token=tokens[less])
    answer = api.sim.ask("POST", "/api/v1/vms")
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"
    assert api.sim.ask("GET", "/api/v1/nothing", token="").status == 401
    assert api.sim.ask("GET", "/api/v1/nothing").status == 404
    assert api.sim.ask("GET", "/nothing", token="").status == 404


def check_observation(api, sim):
    events = api.ask("GET", "/api/v1/events", expect=200).json()
    ids = [event["id"] for event in events["events"]]
    assert ids == sorted(ids) and events["last"] == ids[-1]
    assert api.ask("GET", f"/api/v1/events?since={events['last']}", expect=200).json()["events"] == []
    api.ask("GET", "/api/v1/events?since=x", expect=400)
    log = api.ask("GET", "/api/v1/log", expect=200)
    position = int(log.headers["Hilum-Log-Position"])
    assert position == len(log.body)
    assert int(api.ask("GET", f"/api/v1/log?since={position}", expect=200).headers["Hilum-Log-Position"]) >= position
    audit = api.ask("GET", "/api/v1/audit", expect=200).json()["entries"]
    assert any(entry["path"] == "/api/v1/vms/test" and entry["method"] == "PUT" and entry["status"] == 201 and entry["token"] == "first"
               for entry in audit)
    assert any(entry["status"] == 401 and entry["token"] == "" for entry in audit)
    assert not any(entry["method"] == "GET" and entry["status"] == 200 for entry in audit)
    follower = sim.socket("/api/v1/events", by_protocol=True)
    api.ask("POST", "/api/v1/vms/spare/boot", expect=202)
    assert b'"vm.started"' in follower.read_until(b"spare")
    follower.close()
    lines = sim.socket("/api/v1/log?since=0")
    lines.read_until(b"line of log")
    lines.close()


def check_console(api, sim):
    console = sim.socket("/api/v1/vms/spare/console", by_protocol=True)
    console.read_until(b"~ # ")
    console.send(b"echo he", last=False)
    console.send(b"ping", 9)
    console.send(b"llo\r", 0)
    seen = b""
    pongs = []
    while b"hello\r\nhello\r\n" not in seen:
        opcode, payload = console.receive()
        if opcode == 10:
            pongs.append(payload)
        seen += payload if opcode == 2 else b""
    assert pongs == [b"ping"]
    console.send(b"\x03\xe8", 8)
    while console.receive()[0] != 8:
        pass
    console.close()
    scrollback = api.ask("GET", "/api/v1/vms/spare/console?tail=18", expect=200)
    assert scrollback.body == b"hello\r\nhello\r\n~ # ", scrollback.body
    for wrong in (lambda s: s.send(b"x", masked=False), lambda s: s.send(b"x", 0), lambda s: s.send(b"x", 3),
                  lambda s: s.send(b"x", 9, last=False)):
        console = sim.socket("/api/v1/vms/spare/console?tail=0")
        wrong(console)
        while True:
            opcode, payload = console.receive()
            if opcode == 8:
                assert payload == b"\x03\xea", payload  # 1002
                break
        console.close()
    debugger = sim.socket("/api/v1/vms/spare/gdb")
    assert sim.socket("/api/v1/vms/spare/gdb").status == 409
    debugger.send(b"$qSupported#37")
    assert debugger.receive() == (2, b"$qSupported#37")
    debugger.close()
    api.ask("GET", "/api/v1/vms/spare/gdb", expect=426)


def check_metrics(api):
    metrics = api.ask("GET", "/metrics", expect=200)
    promtool = subprocess.run(["promtool", "check", "metrics"], input=metrics.body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
    assert promtool.returncode == 0 and not promtool.stdout, promtool.stdout.decode()
    text = metrics.body.decode()
    for line in ('libvirt_domain_info_vstate{domain="linux"} 1', 'hilum_vm_exits_total{vm="linux",vcpu="0",reason="cpuid"}',
                 'libvirt_domain_block_stats_read_bytes_total{domain="spare",target_device="vda"}', "hilum_iommu_faults_total 0",
                 'hilum_boot_reason{reason="power-on"} 1', "hilum_driver_vm_restarts_total 1",
                 'node_uname_info{sysname="Hilum",machine="x86_64",release="'):
        assert line in text, line


def check_files(sim):
    page = sim.ask("GET", "/", token="")
    assert page.status == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["X-Frame-Options"] == "DENY"
    assert sim.ask("GET", "/", token="", headers={"If-None-Match": page.headers["ETag"]}).status == 304
    head = sim.ask("HEAD", "/", token="")
    assert head.body == b"" and head.headers["Content-Length"] == str(len(page.body))


def check_certificate(api):
    api.ask("PUT", "/api/v1/host/certificate", {"certificate": "x", "key": "y"}, expect=422)
    before = api.ask("GET", "/api/v1/host", expect=200).json()["fingerprint"]
    api.ask("PUT", "/api/v1/host/certificate", {"certificate": "-----BEGIN CERTIFICATE-----\n", "key": "-----BEGIN EC PRIVATE KEY-----\n"},
            expect=204)
    assert api.ask("GET", "/api/v1/host", expect=200).json()["fingerprint"] != before
    api.ask("DELETE", "/api/v1/host/certificate", expect=204)
    assert api.ask("GET", "/api/v1/host", expect=200).json()["fingerprint"] == before


def check_wrong_tokens(api, sim):
    """After ten wrong ones even a right one must wait."""
    statuses = [sim.ask("GET", "/api/v1/host", token="hilum_" + "x" * 43).status for _ in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429, statuses
    answer = sim.ask("GET", "/api/v1/host")
    if answer.status == 429:  # on a slow machine the wait is over
        assert 1 <= int(answer.headers["Retry-After"]) <= 6
    assert sim.ask("GET", "/healthz", token="").status == 200


def check_event_kinds():
    """The page on the API has the events that the control VM tells of, and no others."""
    told = set()
    for path in pathlib.Path("drivers-vm/control").rglob("*.c"):
        for call in re.findall(r"event_add\(([^;]*);", path.read_text(encoding="utf-8")):
            told |= set(re.findall(r'"([a-z]+\.[a-z-]+)"', call))
    page = pathlib.Path("docs/api.md").read_text(encoding="utf-8").split("## Events\n")[1].split("\n## ")[0]
    described = set(re.findall(r"`([a-z]+\.[a-z-]+)`", page))
    assert told == described, f"docs/api.md: {sorted(told ^ described)}"


def main():
    simulator, path = sys.argv[1:]
    document = Document(path)
    check_routes(simulator, document)
    check_examples(document)
    check_event_kinds()
    with Simulator(simulator) as sim:
        api = Checked(sim, document)
        api.ask("GET", "/api/v1/host", expect=200)
        api.ask("GET", "/api/v1/vms", expect=200)
        check_definitions(api)
        check_memory(api)
        check_schedules(api)
        check_life(api)
        check_images(api)
        check_tokens(api, sim)
        check_observation(api, sim)
        check_console(api, sim)
        check_metrics(api)
        check_files(sim)
        check_certificate(api)
        check_wrong_tokens(api, sim)
        assert sim.process.poll() is None, "the simulator has ended"
    print("the API is as its document says")


if __name__ == "__main__":
    main()
