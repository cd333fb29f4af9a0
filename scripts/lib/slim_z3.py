#!/usr/bin/python3
"""Z3 as Why3 calls it for scripts/test --prove, without axioms of WP's library that a goal on lists and tables does not need.

usage: slim_z3.py [Z3's options] FILE        (--version: Z3's)

Z3 1 puts definitions in place of names, and the patterns that should keep an axiom from being tried on all triples of addresses go with the
names. A proof that needs fewer axioms is a proof. The goal goes to Z3 up to four times, each time with more axioms (TRIES), the last time whole.
Limits are CPU time of Z3 itself: Why3's -T counts the time on the wall, of which a busy machine gives a prover little.
"""
import re
import resource
import subprocess
import sys
import tempfile

Z3 = "/usr/bin/z3"
INCLUSION = r"separated_.*|included_.*"
NUMBERS = r"table_to_.*|int_of_addr_.*|addr_of_int_.*|addr_of_null|valid_string|eqmem.*|framed.*"
DIVISION = r"Div.*|Mod.*|.*_div|c_euclid.*|cmod.*|cdiv.*|assoc.*|Rounds.*|CompatOrderMult|[aA]bs.*"
BITS = r"l(not|and|or|xor|sl|sr)_.*|bit_test.*|is_[su]int.*_l.*|to_.*extraction.*"
TRIES = ((f"{INCLUSION}|{NUMBERS}|{DIVISION}|{BITS}", 3), (f"{INCLUSION}|{DIVISION}|{BITS}", 3), (INCLUSION, 2), (None, 2))  # seconds of CPU time


def without_assertion(part):
    start = part.index("(assert")
    depth = 0
    for at in range(start, len(part)):
        depth += (part[at] == "(") - (part[at] == ")")
        if depth == 0:
            return part[:start] + part[at + 1:]
    return part


def slim(text, drop):
    """The text without the axioms (";; NAME", and the first assertion after it) whose names match."""
    parts = re.split(r"\n(?=;; )", text)
    return "\n".join(without_assertion(part) if drop and "(assert" in part and re.fullmatch(drop, part.split("\n", 1)[0][3:]) else part
                     for part in parts)


def run(options, text, limit_s):
    """What Z3 says within so many seconds of its own CPU time: how busy the machine is does not matter."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
    with tempfile.NamedTemporaryFile("w", suffix=".smt2") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([Z3, *options, file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=limit)
    return done.stdout if done.returncode >= 0 else "timeout\n"


def main():
    if len(sys.argv) < 3:
        sys.exit(subprocess.run([Z3, *sys.argv[1:]]).returncode)
    options = [word for word in sys.argv[1:-1] if not word.startswith("-T:")]
    with open(sys.argv[-1], encoding="utf-8") as file:
        text = file.read()
    said = ""
    for drop, limit_s in TRIES:
        said = run(options + (["smt.mbqi=false"] if drop else []), slim(text, drop), limit_s)
        if re.search(r"^unsat$", said, re.M):
            break
    print(said, end="")


if __name__ == "__main__":
    main()
