"""Draws docs/architecture.svg from docs/architecture.drawing, which tells its form. Usage: drawing.py >docs/architecture.svg"""
import os
import re
import sys
from xml.sax.saxutils import escape

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SOURCE = "docs/architecture.drawing"
KINDS = ("vm", "service", "root", "hw")
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" font-family="Helvetica, Arial, sans-serif" font-size="14">
  <!-- Generated from docs/architecture.drawing by `make drawing`. -->
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
      <path d="M0 0L10 5L0 10z" fill="#333"/>
    </marker>
    <style>
      .vm {{ fill: #e8f0fa; stroke: #2f5d8a }}
      .service {{ fill: #e4f3e6; stroke: #2e7040 }}
      .root {{ fill: #fdf1df; stroke: #9a6a1a }}
      .hw {{ fill: #eee; stroke: #666 }}
      .title {{ font-weight: bold }}
      .small {{ font-size: 12px; fill: #333 }}
      .edge {{ font-size: 12px; fill: #a33 }}
      .line {{ stroke: #333; stroke-width: 1.5; fill: none }}
      .dashed {{ stroke-dasharray: 6 4 }}
      .middle {{ text-anchor: middle }}
    </style>
  </defs>
  <rect width="{0}" height="{1}" fill="#fff"/>
"""


def box(words):
    kind, (x, y, width, height), title = words[0], map(int, words[1:5]), escape(" ".join(words[5:]))
    if kind not in KINDS:
        raise ValueError(f"no kind of box: {kind}")
    out = f'  <rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>\n'
    if title and kind == "root":
        out += f'  <text class="title" x="{x + 16}" y="{y + 24}">{title}</text>\n'
    elif title:
        out += f'  <text class="title middle" x="{x + width // 2}" y="{y + 24}">{title}</text>\n'
    return out


def text(words):
    middle = words[2] == "middle"
    return (f'  <text class="small{" middle" * middle}" x="{int(words[0])}" y="{int(words[1])}">'
            f'{escape(" ".join(words[3 if middle else 2:]))}</text>\n')


def line(words):
    dashed = words[0] == "dashed"
    ends, path = words[dashed:dashed + 2]
    path = " ".join([path, *words[dashed + 2:]])
    if ends not in (">", "<>") or not re.fullmatch(r"[MHVL0-9 ]+", path):
        raise ValueError("a line is: [dashed] > PATH, or [dashed] <> PATH")
    start = ' marker-start="url(#tip)"' if ends == "<>" else ""
    return f'  <path class="line{" dashed" * dashed}" d="{path}"{start} marker-end="url(#tip)"/>\n'


def boundary(words):
    y = int(words[0])
    above, below = (escape(part.strip()) for part in " ".join(words[1:]).split("|"))
    return (f'  <path d="M0 {y}H1000" stroke="#a33" stroke-width="2.5"/>\n'
            f'  <text class="edge" x="12" y="{y - 8}">{above}</text>\n  <text class="edge" x="12" y="{y + 16}">{below}</text>\n')


def draw(source):
    out = ""
    for number, said in enumerate(source.splitlines(), 1):
        words = said.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0] == "size":
                out += HEAD.format(int(words[1]), int(words[2]))
            else:
                out += {"box": box, "text": text, "line": line, "boundary": boundary}[words[0]](words[1:])
        except (KeyError, ValueError, IndexError) as error:
            raise SystemExit(f"{SOURCE}:{number}: {error}") from error
    return out + "</svg>\n"


if __name__ == "__main__":
    with open(os.path.join(ROOT, SOURCE), encoding="utf-8") as file:
        sys.stdout.write(draw(file.read()))
