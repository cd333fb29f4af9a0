"""scripts/test --prove: Frama-C's WP on the functions of tests/prove/functions, each goal proved or listed in tests/prove/unproved."""
import concurrent.futures
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.path.join(ROOT, "build", "prove")
GOAL_LIMIT_S = 30  # a goal that is proved takes three seconds of CPU time at most; a busy machine may need the rest
FUNCTION_LIMIT_S = 3600
LEMMAS = "lemma"  # what tests/prove/functions calls the lemmas of a file
# -wp-cache: a goal that is the same to the letter as in a run before is not proved again (build/prove/cache).
# -wp-rte adds the goals that no undefined operation happens: invalid access, signed overflow, division, shift, invalid bool.
OPTIONS = ["-c11", "-machdep", "gcc_x86_64", "-wp", "-wp-rte", "-wp-par", "1", "-wp-cache", "update", "-wp-cache-dir", "build/prove/cache",
           "-cpp-extra-args=-Itests/prove/include -I. -Iinclude -std=gnu11 -include tests/prove/include/prove.h"]
PLAIN = ["-wp-prover", "cvc4,z3", "-wp-timeout", str(GOAL_LIMIT_S)]
# Tables and lists. -wp-no-filter keeps what WP takes for needless: the values of a structure that is assigned whole are among that. Z3 is
# called by slim_z3.py, which has its own limits of CPU time; the time here only ends what hangs.
SLIM = {"mm/frame.c": ["-wp-prover", "z3,cvc4", "-wp-timeout", "60", "-wp-no-filter"]}
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


def owner_of(goal, functions):
    return max((f for f in functions if goal.startswith(f + "_")), key=len, default=None)


def run_wp(path, functions):
    """{function: {goal: proved}}, as Frama-C prints it; raises RuntimeError if it says less than it should."""
    environment = {**os.environ, "WHY3CONFIG": os.path.join(BUILD, "slim.conf" if path in SLIM else "why3.conf")}
    which = ["-wp-prop=@lemma"] if functions == [LEMMAS] else ["-wp-fct", ",".join(functions)]
    done = subprocess.run(["frama-c", *OPTIONS, *SLIM.get(path, PLAIN), *which, path], cwd=ROOT, env=environment, timeout=FUNCTION_LIMIT_S,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    with open(os.path.join(BUILD, f"{path.replace('/', '-')}-{functions[0]}.log"), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    total = TOTAL.search(done.stdout)
    if done.returncode != 0 or not total:
        raise RuntimeError(f"{path}: frama-c failed:\n{done.stdout[-4000:]}")
    goals = {function: {} for function in functions}
    for prover, name, result in GOAL.findall(done.stdout):
        owner = owner_of(name, functions)
        if owner is None:
            raise RuntimeError(f"{path}: a goal of no function that was asked for: {name}")
        goals[owner][name[len(owner) + 1:]] = result == "Valid" and prover != "Failed"
    count = sum(len(of) for of in goals.values())
    proved = sum(sum(of.values()) for of in goals.values())
    if (proved, count) != (int(total[1]), int(total[2])):
        raise RuntimeError(f"{path}: {proved} / {count} goals read, frama-c counts {total[1]} / {total[2]}")
    return goals


def prove_function(path, function, known):
    """(goals, proved, problems); prints a line."""
    of = run_wp(path, [function])[function]
    unproved = sorted(goal for goal, valid in of.items() if not valid)
    print(f"{path} {function}: {len(of) - len(unproved)} of {len(of)} goals" + "".join(f"\n    unproved: {goal}" for goal in unproved), flush=True)
    problems = [] if of else [f"{path} {function}: no goal at all: does it exist?"]
    problems += [f"{path} {function} {goal}: not proved" for goal in unproved if goal not in known]
    problems += [f"{path} {function} {goal}: listed in tests/prove/unproved, but proved or gone" for goal in known if goal not in unproved]
    return len(of), len(of) - len(unproved), problems


def detect_provers():
    """Writes Why3's configurations: why3.conf, and slim.conf with slim_z3.py in place of Z3."""
    conf = os.path.join(BUILD, "why3.conf")
    subprocess.run(["why3", "config", "detect"], env={**os.environ, "WHY3CONFIG": conf}, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(conf, encoding="utf-8") as file:
        text = file.read()
    slim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slim_z3.py")
    with open(os.path.join(BUILD, "slim.conf"), "w", encoding="utf-8") as file:
        file.write(text.replace('"/usr/bin/z3"', f'"{slim}"'))


def check_refuted():
    """What is wrong in tests/prove/wrong.c must not be provable: else the proofs of the others say nothing."""
    problems = []
    goals = run_wp("tests/prove/wrong.c", list(listed("wrong_goals")))
    for function, expected in listed("wrong_goals").items():
        problems += [f"tests/prove/wrong.c {function} {goal}: is wrong, and was proved" for goal in expected if goals[function].get(goal, True)]
    print(f"tests/prove/wrong.c: {sum(len(of) for of in listed('wrong_goals').values())} wrong goals, {len(problems)} of them proved")
    return problems


def main():
    os.makedirs(os.path.join(BUILD, "cache"), exist_ok=True)
    detect_provers()
    known = listed("unproved")
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    problems = check_refuted()
    jobs = [(path, function, known.get(function, {})) for path, functions in listed("functions").items() for function in functions
            if wanted.search(f"{path} {function}")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: prove_function(*job), jobs))
    problems += [problem for _, _, found in results for problem in found]
    goals, proved = sum(result[0] for result in results), sum(result[1] for result in results)
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{goals} goals, {proved} proved")
    return 1 if problems or not goals else 0


if __name__ == "__main__":
    sys.exit(main())
