"""The emulated machines, beside QEMU's, that the tests and the bench guest run on: one line each."""

# What an emulator does wrong, by the name under which the test guests know it (flaws= on their command lines). All were seen in
# Bochs 2.7 and 3.0, and are explained in docs/lab.md.
SVM_FLAWS = ("paging_without_protection", "cr2_not_loaded", "debug_exits", "xsavec_size")


class Platform:
    """backend: "SVM" or "VMX", as Hilum's log names it. prefix: of the figures in scripts/bench."""

    def __init__(self, backend, cpu, prefix, flaws=()):
        self.backend, self.prefix, self.flaws = backend, prefix, flaws
        self.hardware = {"emulator": "bochs", "cpu": cpu}

    def cmdline(self, words=""):
        """A test guest's command line."""
        return f"{words} flaws={','.join(self.flaws)}".strip() if self.flaws else words


PLATFORMS = {
    "ryzen": Platform("SVM", "ryzen", "svm_bochs_", SVM_FLAWS),
    "icelake": Platform("VMX", "corei7_icelake_u", "vmx_"),
}

# No virtual APIC in this one: the kernel's own serves its guests.
CANNON_LAKE = Platform("VMX", "corei3_cnl", "vmx_cnl_")


def cases(table):
    """platform/case -> (platform, *arguments), for harness.each."""
    return {f"{name}/{case}" if case else name: (platform, *arguments)
            for name, platform in PLATFORMS.items() for case, arguments in table.items()}
