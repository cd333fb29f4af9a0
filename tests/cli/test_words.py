"""The words of the command line: help, manual page, completion, package; no machine is spoken to but for names."""
import glob
import os
import re
import shutil
import subprocess

from scripted import Scripted
from workstation import HILUM, LIMIT_S, ROOT, TOKEN, Workstation

VERBS = ("list start shutdown destroy suspend resume reboot reset nmi dump autostart setvcpus setmem console define undefine dumpconfig dominfo domstats schedinfo "
         "vcpupin vcpuinfo top dmesg events upload images host memtune compact restart-driver reboot-host poweroff-host audit token login forget certificate gdb check").split()


class Help(Workstation):
    def test_help_lists_every_verb_and_every_verb_has_help(self):
        out, _ = self.hilum("--help")
        self.assertEqual(re.findall(r"^  ([a-z-]+) +[A-Z]", out, re.M), VERBS)
        for verb in VERBS:
            text, _ = self.hilum(verb, "--help")
            self.assertTrue(text.startswith(f"usage: hilum {verb}"), text)
            self.assertRegex(text, r"Examples?:\n  (.* )?hilum ")
            self.assertEqual(self.hilum("--host", "x", verb, "-h")[0], text)

    def test_examples_use_options_that_there_are(self):
        for verb in VERBS:
            text, _ = self.hilum(verb, "--help")
            names = set(re.findall(r"^  .*?--([a-z-]+)", text.split("\nOptions", 1)[1], re.M))
            for example in re.findall(rf"hilum {verb} ([^|#\n]*)", text.split("Example", 1)[1].split("\nOptions", 1)[0]):
                self.assertLessEqual(set(re.findall(r"--([a-z-]+)", example)), names, example)

    def test_wrong_words_are_status_2(self):
        for words in ([], ["nonsense"], ["list", "extra"], ["list", "--nonsense"], ["list", "-z"], ["start"],
                      ["start", "--timeout", "5", "a"], ["shutdown", "a", "--timeout"], ["shutdown", "a", "--timeout", "soon"],
                      ["shutdown", "a", "-t-5"], ["list", "--all=yes"],
                      ["list", "-o", "xml"], ["--nonsense", "list"], ["token"], ["token", "make"], ["token", "create"], ["define"],
                      ["define", "a", "--edit", "b"], ["certificate"], ["certificate", "a", "b", "--reset"], ["top", "--delay", "0"],
                      ["upload", "/dev/null"], ["upload", "/nonexistent"], ["define", "/nonexistent"], ["check", "/nonexistent"]):
            with self.subTest(words=words):
                out, err = self.hilum(*words, status=2)
                self.assertEqual(out, "")
                self.assertNotEqual(err, "")

    def test_version(self):
        self.assertRegex(self.hilum("--version")[0], r"^hilum \d+\.\d+\n$")

    def test_check_is_the_code_that_boots(self):
        good = self.path("good.toml", '[[vm]]\nname = "a"\nkernel = "k"\n')
        out, _ = self.hilum("check", good)
        self.assertEqual(out, f"{good}: 1 VM\n  a: kernel k, 256M, 1 vCPU\n")
        bad = self.path("bad.toml", '[[vm]]\nname = "a"\nmemroy = "1M"\n')
        _, err = self.hilum("check", bad, status=1)
        self.assertIn(f"{bad}:3: vm.memroy: unknown key (did you mean memory?)", err)
        self.assertIn("2 errors", err)
        self.assertIn("1 VM", self.hilum("check", "-", stdin=b'[[vm]]\nname = "a"\nkernel = "k"\n')[0])


class Manual(Workstation):
    PAGE = os.path.join(ROOT, "docs", "hilum.1")

    def test_it_renders_without_a_warning_and_names_everything(self):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", self.PAGE], capture_output=True, timeout=LIMIT_S, check=True)
        self.assertEqual(done.stderr, b"")
        text = done.stdout.decode().replace("−", "-").replace("‐", "-")
        for verb in VERBS:
            self.assertRegex(text, rf"(?m)^ +{verb}( |$)")
            options = self.hilum("__options", verb)[0].split()
            self.assertIn("--help", options)
            for option in options:
                self.assertIn(option, text)


class Completion(Scripted):
    def setUp(self):
        super().setUp()
        self.answer("GET /vms", {"vms": [{"name": "web", "state": "running"}, {"name": "spare", "state": "shutoff"}]})
        self.answer("GET /images", {"images": [{"name": "vmlinuz", "source": "upload"}]})
        self.answer("GET /tokens", {"tokens": [{"name": "grafana", "role": "viewer"}]})
        self.env["PATH"] = os.path.dirname(HILUM) + ":" + self.env["PATH"]
        self.env["HILUM_HOST"] = ""
        folder = os.path.join(self.home, ".config", "hilum")
        config = os.path.join(folder, "config")
        with open(config, "w", encoding="ascii") as file:
            file.write(f'default = "lab"\n[host.lab]\nurl = "https://{self.machine.authority}"\ntoken = "{TOKEN}"\n'
                       '[host."b.c"]\nurl = "https://b.c"\n')
        os.chmod(config, 0o600)

    CASES = ((["hilum", "sh"], {"shutdown"}), (["hilum", "restart"], {"restart-driver"}), (["hilum", "start", ""], {"spare"}),
             (["hilum", "shutdown", ""], {"web"}), (["hilum", "undefine", ""], {"web", "spare"}), (["hilum", "console", "w"], {"web"}),
             (["hilum", "list", "--in"], {"--inactive"}), (["hilum", "-o", "js"], {"json"}), (["hilum", "token", "cr"], {"create"}),
             (["hilum", "token", "delete", ""], {"grafana"}), (["hilum", "images", "--delete", ""], {"vmlinuz"}),
             (["hilum", "--host", ""], {"lab", "b.c"}), (["hilum", "--host", "lab", "shutdown", ""], {"web"}),
             (["hilum", "check", "fi"], {"file.toml"}), (["hilum", "shutdown", "--timeout", ""], set()))

    def test_bash(self):
        self.path("file.toml", "")
        for words, expected in self.CASES:
            script = (f". {ROOT}/tools/cli/completion/hilum.bash; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
                      f"COMP_CWORD={len(words) - 1}; _hilum; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
            done = subprocess.run(["bash", "-c", script], env=self.env, cwd=self.home, capture_output=True, timeout=LIMIT_S, check=True)
            self.assertEqual(set(done.stdout.decode().split()), expected, words)
            self.assertEqual(done.stderr, b"")

    def test_bash_asks_no_machine_that_is_not_known(self):
        os.unlink(os.path.join(self.home, ".config", "hilum", "known_hosts"))
        script = (f". {ROOT}/tools/cli/completion/hilum.bash; COMP_WORDS=(hilum start ''); COMP_CWORD=2; _hilum; "
                  "echo \"${#COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", script], env=self.env, cwd=self.home, capture_output=True, timeout=LIMIT_S, check=True)
        self.assertEqual((done.stdout, done.stderr), (b"0\n", b""))
        self.assertEqual(self.machine.requests, [])

    def test_zsh(self):
        self.assertIsNotNone(shutil.which("zsh"), "scripts/setup installs zsh")
        self.path("file.toml", "")
        # The widgets of a real completion want a terminal; what the function offers is what compadd, _describe and _files are given.
        prelude = ("compadd() { [[ $1 == -- ]] && shift; print -l -- ${(M)@:#${words[CURRENT]}*} }; "
                   "_describe() { compadd -- ${${(P)2}%%:*} }; _files() { compadd -- *(N) }; ")
        for words, expected in self.CASES:
            script = (f"{prelude}words=({' '.join(repr(word) for word in words)}); CURRENT={len(words)}; "
                      f". {ROOT}/tools/cli/completion/_hilum")
            done = subprocess.run(["zsh", "-f", "-c", script], env=self.env, cwd=self.home, capture_output=True, timeout=LIMIT_S,
                                  check=False)
            self.assertEqual(set(done.stdout.decode().split()), expected, (words, done.stderr))


class Package(Workstation):
    def test_install_puts_everything_below_its_prefix(self):
        subprocess.run(["make", "-s", "install", f"DESTDIR={self.home}", "PREFIX=/opt/h"], cwd=ROOT, check=True, capture_output=True,
                       timeout=LIMIT_S)
        for path in ("bin/hilum", "share/man/man1/hilum.1.gz", "share/bash-completion/completions/hilum",
                     "share/zsh/site-functions/_hilum"):
            self.assertTrue(os.path.isfile(os.path.join(self.home, "opt", "h", path)), path)

    def test_the_debian_package_is_whole_and_what_is_in_it_runs(self):
        subprocess.run(["make", "-s", "deb"], cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_S)
        package = glob.glob(os.path.join(ROOT, "build", "hilum_*.deb"))
        self.assertEqual(len(package), 1)
        subprocess.run(["dpkg", "-x", package[0], self.home], check=True, timeout=LIMIT_S)
        done = subprocess.run([os.path.join(self.home, "usr", "bin", "hilum"), "--version"], capture_output=True, timeout=LIMIT_S,
                              check=True)
        version = done.stdout.decode().split()[1]
        control = subprocess.run(["dpkg-deb", "-f", package[0]], capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout
        fields = dict(line.split(": ", 1) for line in control.splitlines() if not line.startswith(" "))
        self.assertEqual((fields["Package"], fields["Version"]), ("hilum", version))
        for name in ("libc6", "libcurl4", "libjansson4", "libssl3"):
            self.assertRegex(fields["Depends"], rf"(^|, ){name} \(>= [0-9.]+\)")
        sums = subprocess.run(["dpkg-deb", "--ctrl-tarfile", package[0]], capture_output=True, check=True, timeout=LIMIT_S).stdout
        listing = subprocess.run(["tar", "-xO", "./md5sums"], input=sums, capture_output=True, check=True, timeout=LIMIT_S).stdout
        subprocess.run(["md5sum", "-c", "--quiet", "-"], input=listing, cwd=self.home, check=True, timeout=LIMIT_S)
        installed = {os.path.relpath(os.path.join(folder, file), self.home)
                     for folder, _, files in os.walk(os.path.join(self.home, "usr")) for file in files}
        self.assertEqual(installed, {line.split()[1] for line in listing.decode().splitlines()})
        for path in ("usr/share/man/man1/hilum.1.gz", "usr/share/zsh/vendor-completions/_hilum", "usr/share/doc/hilum/copyright"):
            self.assertIn(path, installed)
            self.assertEqual(os.stat(os.path.join(self.home, path)).st_mode & 0o777, 0o644)


class Documents(Workstation):
    def commands(self):
        """[(file, words)] of what the documents tell people to type: lines of code blocks behind "$ ", and words in backquotes."""
        for path in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))) + [os.path.join(ROOT, "README.md")]:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            lines = re.findall(r"^\$ (.*)$", text, re.M) + re.findall(r"`((?:build/)?hilum [^`\n]*)`", text)
            for line in lines:
                for command in re.findall(r"(?:^|[|&;] *|sudo |xargs(?: -\S+)* )(?:build/)?hilum ([^|&;>#]*)", line.replace("\\|", "|")):
                    yield path, command.split()

    def test_commands_in_the_documents_are_ones_that_there_are(self):
        found = list(self.commands())
        self.assertGreater(len(found), 20)
        for path, words in found:
            verb = next(word for word in words if not word.startswith("-"))
            self.assertIn(verb, VERBS, path)
            options = self.hilum("__options", verb)[0].split()
            for word in words:
                if word.startswith("--"):
                    self.assertIn(word.split("=")[0], options, (path, words))
