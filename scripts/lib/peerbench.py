"""scripts/bench --peers: measures Hilum, KVM and Xen on the same emulated machine, and prints one table."""
import argparse
import json
import subprocess
import sys

import iobench
import machine
import peer
import peerhost
import peerown
import peertable
import xenpeer

MEASURED_BY = {"hilum": peerown, "kvm": peer, "xen": xenpeer}


def figures_of(part, found):
    """name -> figure of what a host's measurement of a part has returned."""
    if part in ("disk", "net"):
        return {figure.name: figure.cost for figure in found}
    if part == "memory":
        return {"memory_per_vm": found / 1024}
    return found if part == "exits" else {peertable.ROWS[part][0][0]: found}


def versions():
    def line(command):
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n", 1)[0]

    with open(f"{peerhost.PEER}/VERSION", encoding="ascii") as file:
        packages = [text for text in file.read().split("\n")[1:] if text.startswith(("xen-hypervisor", "linux-image"))]
    with open(f"{machine.GUEST}/VERSION", encoding="ascii") as file:
        guest = file.read().strip().replace(" ", "=")
    return {"emulator": line([machine.QEMU, "--version"]), "kvm's QEMU": line([machine.DEBIANS_QEMU, "--version"]), "cpu": peerhost.CPU,
            "memory": peerhost.MEMORY, "guest and KVM host": guest, "Xen host": ", ".join(packages)}


def measure(parts, hosts):
    """part -> host -> name -> figure, printed as they come; and whether something failed."""
    measured, failed = {}, False
    for part in parts:
        whole = {}
        for host in hosts:
            with machine.Scratch() as scratch:
                try:
                    found = getattr(MEASURED_BY[host], part)(scratch)
                    figures = figures_of(part, found)
                    rows = peertable.rows({part: {host: figures}})
                except (machine.Failure, OSError, subprocess.SubprocessError) as error:
                    print(f"bench: {host}: {part}: {error}", file=sys.stderr)
                    failed = True
                    continue
            whole[host], measured.setdefault(part, {})[host] = found, figures
            for row in rows:
                if host in row.values:
                    print(f"peers_{host}_{row.name} {row.values[host]:.0f} {row.unit}", flush=True)
        for host in whole:
            if host != "hilum" and "hilum" in whole and part in ("disk", "net"):
                print(f"{peertable.TITLES[host]} as the peer:\n{iobench.table(whole['hilum'], whole[host])}", file=sys.stderr)
    return measured, failed


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --peers", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help=f"{', '.join(peertable.ROWS)}: measure these only; "
                        f"{', '.join(peertable.HOSTS)}: on these only")
    parser.add_argument("--json", metavar="FILE", help="write the table there, too, for a program")
    parser.add_argument("--plot", metavar="FILE", help="and as a PNG picture there")
    given = parser.parse_args()
    for word in given.words:
        if word not in peertable.ROWS and word not in peertable.HOSTS:
            parser.error(f"unknown word '{word}'")
    parts = [part for part in peertable.ROWS if part in given.words] or list(peertable.ROWS)
    hosts = [host for host in peertable.HOSTS if host in given.words] or list(peertable.HOSTS)
    measured, failed = measure(parts, hosts)
    rows = peertable.rows(measured)
    print(peertable.text(rows))
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(peertable.document(rows, versions()), file, indent=1)
            file.write("\n")
    if given.plot:
        peertable.plot(rows, given.plot)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
