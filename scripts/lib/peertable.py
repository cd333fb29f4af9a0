"""The table of `scripts/bench --peers`: which rows there are, and how they are told to a person, to a program and as a picture."""
import json
import subprocess

import machine

HOSTS = ("hilum", "kvm", "xen")
TITLES = {"hilum": "Hilum", "kvm": "KVM", "xen": "Xen"}
INSTRUCTIONS = "instructions"
NO_MODEL = "a PVH guest of Xen's has no device model outside the hypervisor"
# part -> rows: (name, what it is, unit, why Xen has none or "").
ROWS = {
    "exits": [
        ("cpuid_exit", "CPUID exit", INSTRUCTIONS, ""),
        ("hypercall_empty", "empty hypercall", INSTRUCTIONS, ""),
        ("rdmsr_exit", "RDMSR exit", INSTRUCTIONS, ""),
        ("port_read_outside_root", "port read answered by a device model", INSTRUCTIONS, NO_MODEL),
        ("port_read_unclaimed", "port read that nobody answers", INSTRUCTIONS, ""),
        ("doorbell_port_write", "doorbell by port", INSTRUCTIONS, NO_MODEL),
        ("mmio_read_outside_root", "IOAPIC register read", INSTRUCTIONS, "a PVH guest of Xen's has no IOAPIC"),
        ("eoi_mmio", "EOI at the local APIC's page", INSTRUCTIONS, ""),
        ("eoi_msr", "EOI by MSR", INSTRUCTIONS, ""),
        ("self_ipi", "self-IPI at the page, until ended", INSTRUCTIONS, ""),
        ("self_ipi_msr", "self-IPI by MSR, until ended", INSTRUCTIONS, ""),
        ("tsc_deadline", "TSC-deadline timer round", INSTRUCTIONS, "Xen does not offer it here"),
        ("cr0_wp_toggle", "CR0.WP off and on", INSTRUCTIONS, ""),
        ("cr4_pge_toggle", "CR4.PGE off and on", INSTRUCTIONS, ""),
        ("cr8_write", "CR8 write", INSTRUCTIONS, ""),
        ("exception_in_guest", "invalid opcode, to its handler and back", INSTRUCTIONS, ""),
        ("npf", "nested page fault, 4 KiB", INSTRUCTIONS, "a guest's memory is all there before it runs"),
    ],
    "linux": [("linux_to_init", "Linux, first instruction to init", INSTRUCTIONS, "")],
    "create": [("create", "create a VM, to its first instruction", INSTRUCTIONS, "")],
    "memory": [("memory_per_vm", "memory of a VM besides its RAM", "KiB", "")],
    "disk": [("read_4k_depth_1", "4 KiB read, depth 1", INSTRUCTIONS, ""), ("read_4k_depth_32", "4 KiB read, depth 32", INSTRUCTIONS, "")],
    "net": [(f"packet_{size}_depth_{depth}", f"packet of {words} bytes, depth {depth}", INSTRUCTIONS, "")
            for size, words in ((64, "64"), (1500, "1,500")) for depth in (1, 32)],
}
BLANK = "–"


class Row:
    """values: host -> figure; hosts without one are not in it."""

    def __init__(self, part, name, title, unit, why, values):
        self.part, self.name, self.title, self.unit, self.why = part, name, title, unit, why
        self.values = values

    def ratio(self):
        """Hilum's figure over the least of the peers'; None where there is nothing to compare."""
        peers = [value for host, value in self.values.items() if host != "hilum"]
        if "hilum" not in self.values or not peers or min(peers) <= 0:
            return None
        return self.values["hilum"] / min(peers)


def rows(measured):
    """measured: part -> host -> name -> figure. A part that a host has measured must have all rows but those it cannot have."""
    found = []
    for part, hosts in measured.items():
        for name, title, unit, why in ROWS[part]:
            values = {}
            for host, figures in hosts.items():
                if host == "xen" and why:
                    continue
                if name not in figures:
                    raise machine.Failure(f"{TITLES[host]} has no figure for {name}")
                values[host] = figures[name]
            found.append(Row(part, name, title, unit, why if "xen" in hosts else "", values))
    return found


def number(value):
    return BLANK if value is None else f"{value:,.0f}"


def ratio(value):
    return BLANK if value is None else f"{value:.3f}"


def text(found):
    """For a person, in Markdown, as docs/performance.md has it."""
    lines = ["| what | unit | Hilum | KVM | Xen | ratio to the better peer |", "|---|---|---|---|---|---|"]
    for row in found:
        cells = [number(row.values.get(host)) for host in HOSTS]
        mark = "**" if (row.ratio() or 0) > 1 else ""
        lines.append(f"| {row.title} | {row.unit} | {' | '.join(cells)} | {mark}{ratio(row.ratio())}{mark} |")
    return "\n".join(lines)


def document(found, versions):
    """For a program."""
    return {"versions": versions,
            "rows": [{"part": row.part, "name": row.name, "title": row.title, "unit": row.unit,
                      **{host: row.values.get(host) for host in HOSTS}, "ratio": row.ratio(),
                      **({"why_not_xen": row.why} if row.why else {})} for row in found]}


def plot_script(found, output):
    """gnuplot's input: for each row what the hosts cost, on a logarithmic scale, in units of Hilum's cost."""
    shown = [row for row in found if row.values.get("hilum", 0) > 0 and row.ratio() is not None]
    data = ["row " + " ".join(TITLES.values())]
    for row in shown:
        relative = [f"{row.values[host] / row.values['hilum']:.4f}" if row.values.get(host, 0) > 0 else "NaN" for host in HOSTS]
        data.append(f'"{row.title}" {" ".join(relative)}')
    return "\n".join([
        f"set terminal png size 1200,{160 + 28 * len(shown)} noenhanced", f"set output {json.dumps(output)}",
        "$data << END", *data, "END",
        'set title "What the same costs, in multiples of what it costs under Hilum (to the right is dearer)"',
        "set logscale x", "set grid x y", "set key outside bottom horizontal", f"set yrange [{len(shown)}:-1]", "set lmargin 42",
        "plot for [c=2:4] $data using c:0:ytic(1) with points pointtype 7 pointsize 1.8 title columnheader(c)", ""])


def plot(found, output):
    done = subprocess.run(["gnuplot"], input=plot_script(found, output), capture_output=True, text=True)
    if done.returncode:
        raise machine.Failure(f"gnuplot: {done.stderr.strip()}")
