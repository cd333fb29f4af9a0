"""Runs one libFuzzer target, build/fuzz/fuzz_PART, from its corpus in tests/fuzz/corpus/PART.

usage: fuzz.py PART (--runs N | --seconds N) [--keep]
       fuzz.py PART --minimise    makes the corpus anew of what it and the inputs kept so far reach

New inputs are forgotten, so that each run begins with the same ones; --keep has them in build/fuzz/found/PART, for the next run with --keep.
An input that fails stays in build/fuzz/failed/, with the command that repeats it."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join("tests", "fuzz")
BUILT = os.path.join("build", "fuzz")
SEED = 1
# An input that takes longer is a fault. The emulators beside it, and slow hosts, are why it is so long.
INPUT_LIMIT_S = 60
MEMORY_LIMIT_MIB = 4096
INPUT_BYTES_MAX = 1024  # of a file in the corpus: a tree that is to be small has all of them


def parts():
    return sorted(name[5:-2] for name in os.listdir(os.path.join(ROOT, TESTS)) if re.fullmatch(r"fuzz_\w+\.c", name))


def options_of(part):
    """What the target's own FUZZ_OPTIONS lines say."""
    with open(os.path.join(TESTS, f"fuzz_{part}.c"), encoding="utf-8") as file:
        return " ".join(re.findall(r"FUZZ_OPTIONS: *([^*\n]*)", file.read())).split()


def command(part, *further):
    prefix = os.path.join(BUILT, "failed", f"{part}-")
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    dictionary = os.path.join(TESTS, f"{part}.dict")
    return [os.path.join(BUILT, f"fuzz_{part}"), f"-seed={SEED}", "-len_control=0", "-verbosity=0", "-print_final_stats=1",
            f"-timeout={INPUT_LIMIT_S}", f"-rss_limit_mb={MEMORY_LIMIT_MIB}", f"-artifact_prefix={prefix}", *options_of(part),
            *([f"-dict={dictionary}"] if os.path.exists(dictionary) else []), *further]


def corpora(part, kept):
    """The folder that new inputs go to, and the corpus."""
    os.makedirs(kept, exist_ok=True)
    corpus = os.path.join(TESTS, "corpus", part)
    return [kept] + ([corpus] if os.path.isdir(corpus) else [])


def fuzz(part, limit, kept):
    done = subprocess.run(command(part, limit, *corpora(part, kept)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    if done.returncode != 0:
        print(done.stdout[-16000:])
        failed = re.search(r"Test unit written to (\S+)", done.stdout)
        if failed:
            print(f"the input is {failed[1]}; repeat with: make build/fuzz/fuzz_{part} && build/fuzz/fuzz_{part} {failed[1]}")
        return 1
    print(f"{re.search(r'stat::number_of_executed_units: *([0-9]+)', done.stdout)[1]} inputs")
    return 0


def minimise(part):
    corpus = os.path.join(TESTS, "corpus", part)
    sources = corpora(part, os.path.join(BUILT, "found", part))
    with tempfile.TemporaryDirectory() as made:
        done = subprocess.run(command(part, "-merge=1", f"-max_len={INPUT_BYTES_MAX}", made, *sources), capture_output=True, text=True,
                              errors="replace")
        if done.returncode != 0:
            print(done.stderr[-4000:])
            return 1
        shutil.rmtree(corpus, ignore_errors=True)
        shutil.copytree(made, corpus)
    sizes = [os.path.getsize(os.path.join(corpus, name)) for name in os.listdir(corpus)]
    print(f"{corpus}: {len(sizes)} files, {sum(sizes)} bytes")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="fuzz.py", usage=__doc__)
    parser.add_argument("part", choices=parts())
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--minimise", action="store_true")
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.minimise:
        return minimise(options.part)
    if (options.runs is None) == (options.seconds is None):
        parser.error("one of --runs and --seconds")
    limit = f"-runs={options.runs}" if options.seconds is None else f"-max_total_time={options.seconds}"
    if options.keep:
        return fuzz(options.part, limit, os.path.join(BUILT, "found", options.part))
    with tempfile.TemporaryDirectory() as kept:
        return fuzz(options.part, limit, kept)


if __name__ == "__main__":
    sys.exit(main())
