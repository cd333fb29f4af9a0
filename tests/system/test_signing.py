"""A kernel with a key starts what was signed with that key, and nothing else, and says in one sentence what is wrong."""
import os
import subprocess

from harness import START_S, Machine, each, equal, guestconfig, machine

SERVICES = ("control", "driver")
TEXT = guestconfig.config_text(on_last_guest_exit="stay")


def run(*command):
    subprocess.run(command, cwd=machine.ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_key(path):
    run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", path)


def make_kernel(scratch, key):
    path = os.path.join(scratch, "hilum.elf")
    run("make", "kernel", f"SIGNING_KEY={key}", f"KERNEL_ELF={path}")
    return path


def prepare(scratch):
    """(key, kernel made with its public half alone)."""
    key, public = os.path.join(scratch, "key.pem"), os.path.join(scratch, "public.pem")
    make_key(key)
    run("openssl", "rsa", "-in", key, "-pubout", "-out", public)
    return key, make_kernel(scratch, public)


def test_signed_medium_starts():
    with machine.Scratch() as scratch:
        key, kernel = prepare(scratch)
        with Machine(TEXT, linux=False, image={"kernel": kernel, "sign": key}) as m:
            m.expect("hilum: control VM, driver VM and configuration are signed with this kernel's key", START_S, never="cannot start")
            m.expect("hilum: no VM was started", START_S)


@each(control=("control", "is not what was signed"), driver=("driver", "is not what was signed"), configuration=("hilum.toml", "is not what was signed"),
      missing=("missing", "'driver.sig' is missing"), other_key=("other key", "boot module 'control' is not what was signed"))
def test_refuses(what, sentence):
    """One bit is flipped in that module after it was signed; or one signature is missing; or all are another key's."""
    with machine.Scratch() as scratch:
        key, kernel = prepare(scratch)
        if what == "other key":
            make_key(key)
        files = {name: os.path.join(machine.BUILD, name + ".bin") for name in SERVICES}
        files["hilum.toml"] = os.path.join(scratch, "hilum.toml")
        with open(files["hilum.toml"], "w", encoding="utf-8") as file:
            file.write(TEXT + "# 0\n")
        signatures = {}
        for name, path in files.items():
            signatures[name + ".sig"] = os.path.join(scratch, name + ".sig")
            run("scripts/sign", key, name, path, signatures[name + ".sig"])
        text = TEXT + "# 0\n"
        image = {"kernel": kernel}
        if what == "missing":
            del signatures["driver.sig"]
        elif what == "hilum.toml":
            text = TEXT + "# 1\n"
        elif what in SERVICES:
            with open(files[what], "rb") as file:
                data = bytearray(file.read())
            data[len(data) // 2] ^= 0x10
            image[what] = os.path.join(scratch, what + ".bin")
            with open(image[what], "wb") as file:
                file.write(data)
        with Machine(text, signatures, linux=False, image=image) as m:
            named = f"boot module '{what}' " if what in files else ""
            m.expect(rf"hilum: cannot start: [^\r\n]*{named}[^\r\n]*{sentence}", START_S, never="no VM was started")
            equal(m.finish(), machine.EXIT_FAILED, "status")
