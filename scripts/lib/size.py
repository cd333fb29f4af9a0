"""Size of root mode, against the figures of scripts/budget. Usage: size.py   (status 1 beyond the budget)"""
import json
import os
import re
import subprocess
import sys

from machine import BUILD, ROOT

FOLDERS = ("boot", "arch", "kernel", "vmx", "svm", "mm")


def budget():
    with open(os.path.join(ROOT, "scripts", "budget"), encoding="utf-8") as file:
        return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", file.read(), re.MULTILINE)}


def lines():
    """Lines of code without comments and blank lines, as cloc counts them."""
    folders = [folder for folder in FOLDERS if os.path.isdir(os.path.join(ROOT, folder))]
    done = subprocess.run(["cloc", "--quiet", "--json", "--skip-uniqueness", "--force-lang=Assembly,inc", *folders], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)["SUM"]["code"]


def text_bytes():
    done = subprocess.run(["size", "-A", "-d", os.path.join(BUILD, "hilum.elf")], check=True, capture_output=True, text=True)
    return int(re.search(r"^\.text\s+(\d+)", done.stdout, re.MULTILINE).group(1))


def measure():
    return {"lines": lines(), "text_bytes": text_bytes()}


def main():
    over = False
    allowed = budget()
    for name, value in measure().items():
        print(f"root_mode_{name} {value} of {allowed[name]}")
        over |= value > allowed[name]
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
