"""What Hilum says when it cannot start, or cannot start one of its guests: one sentence that names the cause."""
import os

from harness import BOOT_S, START_S, Machine, each, equal, guestconfig, linux, machine, quick, true


def refused(sentence, config="", **keywords):
    with Machine(config or linux(), linux=False, **keywords) as m:
        m.expect(r"hilum: cannot start: [^\r\n]*" + sentence, START_S)
        equal(m.finish(), machine.EXIT_FAILED, "status")


@quick
def test_cpu_without_virtualization():
    refused("(virtualization|VMX)", cpu="kvm64")  # QEMU gives this model Intel's name


def test_cpu_without_nested_paging():
    refused("nested paging", cpu="qemu64")


def test_svm_locked_off_is_not_claimed_for_a_working_machine():
    with Machine(linux(), linux=False) as m:
        m.expect("hilum: .*SVM", START_S, never="cannot start")


def test_no_control_module():
    refused("no boot module is named 'control'", without=("control",))


def test_control_module_is_no_service_image():
    with open(os.path.join(machine.BUILD, "tmp", "not-a-service"), "wb") as file:
        file.write(b"\x7fELF" + bytes(8192))
    with Machine(linux(), {"control": file.name}, linux=False, without=("control",)) as m:
        m.expect(r"hilum: cannot start: [^\r\n]*no service image", START_S)
        equal(m.finish(), machine.EXIT_FAILED, "status")


def test_no_driver_module():
    with Machine(linux(), linux=False, without=("driver",)) as m:
        m.expect(r"hilum: [^\r\n]*no boot module is named 'driver'", START_S)


def test_no_configuration():
    with Machine(None, linux=False) as m:
        m.expect(r"hilum: [^\r\n]*no boot module is named 'hilum.toml'", START_S)


def beside_a_good_one(bad_table, sentence, modules=None, **keywords):
    """The good VM starts although the other cannot."""
    good = guestconfig.linux_table(name="good", cmdline='hilum.run="echo good runs"')
    with Machine(guestconfig.config_text(bad_table, good), modules, **keywords) as m:
        m.expect("hilum: [^\r\n]*" + sentence, START_S)
        m.expect("hilum: vm good ended: poweroff", BOOT_S)
        equal(m.finish(), 0, "status")
        true("bad" not in m.verdict.ends, "the bad VM has ended, so it had started")


def test_unknown_key():
    beside_a_good_one(guestconfig.vm_table("bad", "vmlinuz", memroy="1G"),
                      r"hilum\.toml:\d+: vm\.memroy: unknown key \(did you mean memory\?\)")


def test_missing_guest_module():
    beside_a_good_one(guestconfig.vm_table("bad", "no-such-kernel"), "no boot module is named 'no-such-kernel'")


def test_too_much_memory():
    beside_a_good_one(guestconfig.vm_table("bad", "vmlinuz", memory="64G"), "vm bad: it may use 65536 MiB, and [0-9]+ MiB are missing")


def with_image(data, sentence, memory="256M"):
    with machine.Scratch() as scratch:
        path = os.path.join(scratch, "image")
        with open(path, "wb") as file:
            file.write(data)
        beside_a_good_one(guestconfig.vm_table("bad", "image", memory=memory), sentence, {"image": path})


def debian_kernel():
    with open(guestconfig.DEFAULT_GUEST["vmlinuz"], "rb") as file:
        return file.read()


def test_truncated_kernel():
    with_image(debian_kernel()[:8192], "image: ")


def test_kernel_too_large_for_its_memory():
    with_image(debian_kernel(), "image: ", memory="16M")


def test_image_of_no_known_format():
    with_image(b"neither a kernel nor anything else\n" * 400, "image: ")


@each(elf_with_wild_headers=(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00\x01\x00\x00\x00" + b"\xff" * 4000,),
      empty=(b"",))
def test_malformed_image(data):
    with_image(data, "image")


def test_syntax_error_leaves_no_vm():
    with Machine(linux() + "\nvcpus = = 2\n", linux=False) as m:
        m.expect(r"hilum: hilum\.toml:\d+: column \d+: ", START_S)
        m.expect("hilum: no VM was started", START_S)
