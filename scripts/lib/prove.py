"""scripts/test --prove: Frama-C's WP on the functions of tests/prove/functions, each goal proved or listed in tests/prove/unproved."""
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.path.join(ROOT, "build", "prove")
PROVERS = "cvc4,z3"
GOAL_LIMIT_S = 30  # a goal that is proved takes three seconds of CPU time at most; a busy machine may need the rest
FILE_LIMIT_S = 3600
# -wp-rte adds the goals that no undefined operation happens: invalid access, signed overflow, division, shift, invalid bool.
OPTIONS = ["-c11", "-machdep", "gcc_x86_64", "-wp", "-wp-rte", "-wp-prover", PROVERS, "-wp-timeout", str(GOAL_LIMIT_S), "-wp-par", "2",
           "-cpp-extra-args=-Itests/prove/include -I. -Iinclude -std=gnu11 -include tests/prove/include/prove.h"]
GOAL = re.compile(r"^\[wp\] \[([^\]]+)\] Goal typed_(\w+?)(?: \([^)]*\))?(?: : (\w+).*)?$", re.M)
TOTAL = re.compile(r"^\[wp\] Proved goals: +(\d+) / (\d+)", re.M)


def listed(name):
    """Lines of tests/prove/NAME without comments: {first word: {second word: the rest}}."""
    out = {}
    with open(os.path.join(ROOT, "tests", "prove", name), encoding="utf-8") as file:
        for line in file:
            words = line.split(None, 2)
            if words and not line.startswith("#"):
                out.setdefault(words[0], {})[words[1]] = words[2].strip() if len(words) > 2 else ""
    return out


def run_wp(path, functions):
    """{function: {goal: proved}}, as Frama-C prints it; raises RuntimeError if it says less than it should."""
    environment = {**os.environ, "WHY3CONFIG": os.path.join(BUILD, "why3.conf")}
    done = subprocess.run(["frama-c", *OPTIONS, "-wp-fct", ",".join(functions), path], cwd=ROOT, env=environment, timeout=FILE_LIMIT_S,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    with open(os.path.join(BUILD, path.replace("/", "-") + ".log"), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    total = TOTAL.search(done.stdout)
    if done.returncode != 0 or not total:
        raise RuntimeError(f"{path}: frama-c failed:\n{done.stdout[-4000:]}")
    goals = {function: {} for function in functions}
    for prover, name, result in GOAL.findall(done.stdout):
        owner = max((f for f in functions if name.startswith(f + "_")), key=len, default=None)
        if owner is None:
            raise RuntimeError(f"{path}: a goal of no function that was asked for: {name}")
        goals[owner][name[len(owner) + 1:]] = result == "Valid" and prover != "Failed"
    count = sum(len(of) for of in goals.values())
    proved = sum(sum(of.values()) for of in goals.values())
    if (proved, count) != (int(total[1]), int(total[2])):
        raise RuntimeError(f"{path}: {proved} / {count} goals read, frama-c counts {total[1]} / {total[2]}")
    return goals


def prove_file(path, functions, known):
    """(goals, proved, problems); prints a line for each function."""
    goals = proved = 0
    problems = []
    for function, of in run_wp(path, functions).items():
        unproved = sorted(goal for goal, valid in of.items() if not valid)
        print(f"{path} {function}: {len(of) - len(unproved)} of {len(of)} goals" + "".join(f"\n    unproved: {goal}" for goal in unproved),
              flush=True)
        goals, proved = goals + len(of), proved + len(of) - len(unproved)
        if not of:
            problems.append(f"{path} {function}: no goal at all: does it exist?")
        expected = known.get(function, {})
        problems += [f"{path} {function} {goal}: not proved" for goal in unproved if goal not in expected]
        problems += [f"{path} {function} {goal}: listed in tests/prove/unproved, but proved or gone" for goal in expected if goal not in unproved]
    return goals, proved, problems


def check_refuted():
    """What is wrong in tests/prove/wrong.c must not be provable: else the proofs of the others say nothing."""
    problems = []
    goals = run_wp("tests/prove/wrong.c", list(listed("wrong_goals")))
    for function, expected in listed("wrong_goals").items():
        problems += [f"tests/prove/wrong.c {function} {goal}: is wrong, and was proved" for goal in expected if goals[function].get(goal, True)]
    print(f"tests/prove/wrong.c: {sum(len(of) for of in listed('wrong_goals').values())} wrong goals, {len(problems)} of them proved")
    return problems


def main():
    os.makedirs(BUILD, exist_ok=True)
    subprocess.run(["why3", "config", "detect"], env={**os.environ, "WHY3CONFIG": os.path.join(BUILD, "why3.conf")}, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    known = listed("unproved")
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    goals = proved = 0
    problems = check_refuted()
    for path, functions in listed("functions").items():
        if wanted.search(path):
            more_goals, more_proved, more_problems = prove_file(path, list(functions), known)
            goals, proved, problems = goals + more_goals, proved + more_proved, problems + more_problems
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{goals} goals, {proved} proved")
    return 1 if problems or not goals else 0


if __name__ == "__main__":
    sys.exit(main())
