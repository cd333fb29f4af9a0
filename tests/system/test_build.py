"""The same sources make the same bytes: whoever builds Hilum can tell whether an image that he was given is what it says."""
import hashlib
import os
import shutil
import subprocess
import tempfile

from harness import ROOT, equal, long

MADE = ("hilum.elf", "control.bin", "driver.bin", "hilum.iso")
LEFT_OUT = shutil.ignore_patterns("build", "cache", ".git")


def clean_build(place, jobs, **environment):
    """Hashes of what a clean build in the directory `place` makes."""
    shutil.copytree(ROOT, place, ignore=LEFT_OUT, symlinks=True)
    os.symlink(os.path.join(ROOT, "cache"), os.path.join(place, "cache"))
    subprocess.run(["make", "-s", f"-j{jobs}", "iso"], cwd=place, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **environment, "SOURCE_DATE_EPOCH": "1700000000"})
    hashes = {}
    for name in MADE:
        with open(os.path.join(place, "build", name), "rb") as file:
            hashes[name] = hashlib.sha256(file.read()).hexdigest()
    return hashes


@long
def test_two_clean_builds_are_the_same():
    """In directories of unlike length, with other numbers of jobs, time zones and languages."""
    with tempfile.TemporaryDirectory() as scratch:
        first = clean_build(os.path.join(scratch, "a"), 2, TZ="UTC", LC_ALL="C")
        second = clean_build(os.path.join(scratch, "another-directory"), 1, TZ="Asia/Tokyo", LC_ALL="C.UTF-8")
        equal(second, first, "SHA-256 of the second build")
