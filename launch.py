#!/usr/bin/env python3
"""The one door to Likeness: makes .venv, installs what is needed, and goes on inside it. Standard library only.

`python launch.py` runs the studio, `python launch.py --help` lists everything else.
"""

from __future__ import annotations

import os
import sys

OLDEST = (3, 11)
HOME = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HOME, ".venv")
REQUIREMENTS = "requirements.txt"
DEV_REQUIREMENTS = "requirements-dev.txt"
# Only to say how far an installation is; pip alone knows exactly, and only at the end.
PACKAGES_ABOUT = {REQUIREMENTS: 83, DEV_REQUIREMENTS: 98}
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_INDEX_PATIENCE_S = 3.0
GB = 10**9
DISK_WITH_TORCH, DISK_WITH_CUDA, DISK_WITHOUT = 3 * GB, 8 * GB, GB // 2
INTERRUPTED, TERMINATED = 130, 143

OWN_VERBS = {
    "setup": "install everything and stop there",
    "test": "run the tests, with everything they need; --long adds the long forms, the rest goes to pytest",
    "check": "lint, formatting, types and imports: all of them, all reported",
    "fix": "mend what the linter and the formatter can mend",
    "bench": "run the benchmarks: all, or those that are named; --list only lists them",
    "starter": "make the starter model: data, vae, train, evaluate, export, all, status; --minutes N stops in between",
}
APP_VERBS = {
    "run": "run the studio: the page and the worker (what happens without a verb)",
    "generate": "make pictures from here",
    "jobs": "see and steer the queue",
    "characters": "invent characters, give them photos, take them along",
    "variants": "give a character named looks, and draw their faces over pictures",
    "datasets": "choose what a character is learned from: pictures, captions, tags",
    "captions": "have captions written by a vision model",
    "images": "see and sort the pictures",
    "presets": "see the presets",
    "models": "see the models",
    "loras": "see the LoRAs",
    "train": "train a LoRA of a character",
    "training": "follow trainings, stop them, let them go on, take their LoRA",
    "workflows": "see the workflows of ComfyUI, take in your own",
    "engines": "see the engines; install, update and remove ComfyUI and AI-Toolkit",
    "analytics": "show the last days in numbers",
    "health": "say how the studio is",
    "system": "say how busy the computer is: processor, memory, graphics cards",
    "doctor": "check everything that a studio needs",
    "where": "say where pictures, models, logs and the database lie",
    "settings": "see and change the settings",
    "token": "API tokens, for programs on other computers",
    "password": "the password of the page",
    "smoke": "walk through a running studio from outside and say what fails",
    "diagnose": "check everything that a studio needs, and pack a bundle for a bug report",
    "migrate": "create or upgrade the database",
    "docs": "rewrite the pages of docs/ that are made from the code",
    "web": "the page alone; `run` starts it",
    "worker": "the worker alone; `run` starts it",
}


def main(argv: list[str]) -> int:
    """Run one verb; gives the exit status (where the program isn't replaced by the one it starts)."""
    verb, place = find_verb(argv)
    if verb in ("-h", "--help"):
        print(usage())
        return 0
    rest = argv[place + 1 :]
    if verb in OWN_VERBS and verb not in ("test", "starter") and {"-h", "--help"} & set(rest):
        print(f"python launch.py {verb}: {OWN_VERBS[verb]}.")
        return 0
    if verb == "setup":
        install(REQUIREMENTS)
        say(f"Everything is installed, in {VENV}.\nStart the studio with: python launch.py")
        return 0
    if verb == "test":
        return test(rest)
    if verb == "check":
        return check()
    if verb == "fix":
        return fix()
    if verb == "bench":
        return bench(rest)
    if verb == "starter":
        install(REQUIREMENTS)
        return go_on([venv_python(), "-m", "starter", *rest])
    install(REQUIREMENTS)
    if verb is None:
        argv = [*argv[:place], "run", *argv[place:]]
    return go_on([venv_python(), os.path.join(HOME, "app.py"), *argv])


def find_verb(argv: list[str]) -> tuple[str | None, int]:
    """The verb and its place; None and the place where `run` belongs when only options stand there."""
    place = 0
    while place < len(argv):
        word = argv[place]
        if word == "--data":
            place += 2
        elif word.startswith("--data=") or word == "--json":
            place += 1
        elif word in ("-h", "--help", "--version") or not word.startswith("-"):
            return word, place
        else:
            break
    return None, min(place, len(argv))


def usage() -> str:
    """What `--help` shows."""
    width = max(map(len, [*OWN_VERBS, *APP_VERBS]))
    lines = ["Likeness, a studio for consistent AI characters.", ""]
    lines += ["python launch.py [--data DIR] [VERB] [OPTIONS]", ""]
    lines += [f"  {verb:<{width}}  {about}" for verb, about in {**APP_VERBS, **OWN_VERBS}.items()]
    lines += ["", "`run` takes --port N, --listen ADDRESS and --no-browser. --data DIR moves the data folder, before or after any verb."]
    return "\n".join([*lines, "`python launch.py VERB --help` says more about a verb."])


def test(arguments: list[str]) -> int:
    """Run pytest, with a browser and a web server for the tests that need them."""
    install(DEV_REQUIREMENTS)
    get_browser()
    get_nginx()
    return go_on([venv_python(), "-m", "pytest", *side_by_side(arguments), *arguments])


def side_by_side(arguments: list[str]) -> list[str]:
    """For pytest: a whole run takes several files at once, each file in one process. What was named runs one after the other."""
    processors = min(os.cpu_count() or 1, 4)
    named = any(argument.startswith("-n") or not argument.startswith("-") for argument in arguments)
    return [] if named or processors == 1 else ["-n", str(processors), "--dist", "loadfile"]


def check() -> int:
    """Run every checker, whatever the one before said, and report all of them."""
    install(DEV_REQUIREMENTS)
    python = venv_python()
    checks = {
        "lint": [python, "-m", "ruff", "check"],
        "formatting": [python, "-m", "ruff", "format", "--check"],
        "types": [python, "-m", "basedpyright"],
        # By module, not by its script: that holds the folder's old path once the folder was moved.
        "imports": [python, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    }
    return run_all(checks)


def fix() -> int:
    """Mend what the linter and the formatter can mend."""
    install(DEV_REQUIREMENTS)
    python = venv_python()
    return run_all({"lint": [python, "-m", "ruff", "check", "--fix"], "formatting": [python, "-m", "ruff", "format"]})


def bench(arguments: list[str]) -> int:
    """Run the benchmarks that are named, or all; what stands behind the first option goes to each of them."""
    first_option = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:first_option], arguments[first_option:]
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown or "--list" in options:
        for name, about in known.items():
            say(f"{name:<14} {about}")
        if unknown:
            stop(f"There is no benchmark called {', '.join(unknown)}.", "The list above shows what there is.", status=2)
        return 0
    install(DEV_REQUIREMENTS)
    if "ui" in (names or known):
        get_browser()
    # As a module, so that benchmarks can share what they measure with.
    return run_all({name: [venv_python(), "-m", f"bench.{name}", *options] for name in names or known})


def benchmarks() -> dict[str, str]:
    """The programs of bench/ and the first line of what each says about itself."""
    import ast

    found = {}
    folder = os.path.join(HOME, "bench")
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if not file.endswith(".py"):
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as source:
            text = source.read()
        # What can't be started by itself is something that benchmarks share.
        if "__main__" in text:
            found[file[:-3]] = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    return found


def run_all(commands: dict[str, list[str]]) -> int:
    """Run every command from the project's folder, then say how each ended; 1 when any failed."""
    import subprocess

    ended = {}
    for name, command in commands.items():
        say(f"--- {name}")
        ended[name] = subprocess.run(command, cwd=HOME).returncode
    say("---")
    for name, status in ended.items():
        say(f"{name:<14} {'ok' if status == 0 else f'failed (exit status {status})'}")
    return int(any(ended.values()))


def go_on(command: list[str]) -> int:
    """Become this program. Where a process can't be replaced, start it, pass signals on, and give its exit status."""
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.stdout.flush()
    sys.stderr.flush()
    if "-m" in command[1:2]:
        os.chdir(HOME)
    if os.name != "nt":
        os.execv(command[0], command)
    import signal
    import subprocess

    # Ctrl-C reaches every program of the console by itself; the child decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    return child.wait()


# Installing


def install(name: str) -> None:
    """Make .venv and install requirements file `name` into it, unless that was done. Ends the program with a remedy when it can't be."""
    if is_installed(name):
        return
    try:
        with install_lock() as lock:
            # Another launch may have done it while this one waited.
            if is_installed(name):
                return
            make_venv()
            pip_install(name, lock)
            write(stamp_path(name), wanted_stamp(name))
            if name == DEV_REQUIREMENTS:
                write(stamp_path(REQUIREMENTS), wanted_stamp(REQUIREMENTS))
    except OSError as error:
        stop_for_disk(error)


def is_installed(name: str) -> bool:
    """True when requirements file `name`, as it is now, was installed into a .venv that still has its Python."""
    if read(stamp_path(name)) != wanted_stamp(name) or not os.path.exists(venv_python()):
        return False
    # When the system's Python was upgraded, .venv/bin/python points to one that knows nothing of our packages.
    program = os.path.basename(os.path.realpath(venv_python()))
    return not program.startswith("python3.") or program in (f"python{venv_version()}", f"python{venv_version()}.exe")


def wanted_stamp(name: str) -> str:
    """What the stamp of a finished installation holds: the Python it is for, and the requirements themselves."""
    names = [REQUIREMENTS, name] if name != REQUIREMENTS else [REQUIREMENTS]
    return "\n".join([f"# python {venv_version() or this_version()}", *(read(os.path.join(HOME, each)) or "" for each in names)])


def stamp_path(name: str) -> str:
    return os.path.join(VENV, f"installed-{name}")


def venv_python() -> str:
    return os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")


def this_version() -> str:
    return "%d.%d" % sys.version_info[:2]


def venv_version() -> str | None:
    """The Python version (as 3.11) that .venv was made for, None when there is none."""
    for line in (read(os.path.join(VENV, "pyvenv.cfg")) or "").splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:2])
    return None


class install_lock:  # noqa: N801 - used as a block, as if it were a function
    """Two launches must not install over each other; the system opens the lock when its holder dies."""

    def __enter__(self) -> int:
        """Gives the lock's file descriptor: a program that inherits it keeps the lock as long as it lives."""
        import time

        os.makedirs(VENV, exist_ok=True)
        self.file = open(os.path.join(VENV, "install.lock"), "a+b")
        told = False
        while not self.try_lock():
            if not told:
                say("Another launch is installing right now; waiting for it.")
                told = True
            time.sleep(0.2)
        return self.file.fileno()

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def try_lock(self) -> bool:
        try:
            if os.name == "nt":
                import msvcrt

                self.file.seek(0)
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def make_venv() -> None:
    """Make .venv, or make it again when its Python is gone or it was left half-made."""
    import importlib.util
    import subprocess

    if venv_works():
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        stop_for_ensurepip()
    check_disk(DISK_WITHOUT)
    clear_venv()
    say(f"Making a Python environment for Likeness in {VENV} (Python {sys.version.split()[0]}).")
    # Made from inside another environment, it must still stand on the real Python.
    base = getattr(sys, "_base_executable", None) or sys.executable
    made = subprocess.run([base, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if made.returncode != 0:
        if "ensurepip" in made.stdout:
            stop_for_ensurepip()
        if "No space left" in made.stdout:
            stop_for_full_disk()
        stop(f"The environment could not be made:\n{made.stdout.strip()}", "Mend that, or try another Python 3.11 or newer.")


def venv_works() -> bool:
    """True when .venv has a Python of the version it was made for, and pip."""
    import subprocess

    if not os.path.exists(venv_python()) or venv_version() is None:
        return False
    ask = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([venv_python(), "-c", ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=VENV)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == venv_version()


def clear_venv() -> None:
    """Empty .venv, all but the lock that this launch holds."""
    import shutil

    for name in os.listdir(VENV):
        path = os.path.join(VENV, name)
        if name == "install.lock":
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def pip_install(name: str, lock: int) -> None:
    """Run pip with progress in plain words. What was downloaded or installed before an interruption is not done again."""
    forget_halves()
    extra = torch_arguments(read(os.path.join(HOME, REQUIREMENTS)) or "")
    command = [venv_python(), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    status, log = follow_pip([*command, "-r", os.path.join(HOME, name), *extra], PACKAGES_ABOUT[name], lock)
    if status != 0:
        stop_for_pip(log)


def follow_pip(command: list[str], about: int, lock: int) -> tuple[int, list[str]]:
    """Run pip, tell what it is at, and give its exit status and what it said."""
    import queue
    import shutil
    import signal
    import subprocess
    import threading
    import time

    started = time.monotonic()
    # Unpacking gigabytes belongs on the drive that was checked; the system's folder for temporary files may be small.
    scratch = os.path.join(VENV, "tmp")
    os.makedirs(scratch, exist_ok=True)
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=HOME,
        env={**os.environ, "TMPDIR": scratch, "TEMP": scratch, "TMP": scratch},
        # Should this program be killed, pip holds the lock until it is through.
        pass_fds=() if os.name == "nt" else (lock,),
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def collect() -> None:
        for line in child.stdout or ():
            lines.put(line.rstrip())
        lines.put(None)

    def terminated(*_: object) -> None:
        raise SystemExit(TERMINATED)

    threading.Thread(target=collect, daemon=True).start()
    before = signal.signal(signal.SIGTERM, terminated)
    progress = Progress(about, started)
    kept: list[str] = []
    try:
        while True:
            try:
                line = lines.get(timeout=1)
            except queue.Empty:
                progress.show()
                continue
            if line is None:
                break
            kept.append(line)
            progress.hear(line)
        status = child.wait()
    except BaseException:
        # pip must not go on alone: the next launch would install over it.
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(scratch, ignore_errors=True)
        write(os.path.join(VENV, "pip.log"), "\n".join(kept))
    progress.end(status == 0)
    return status, kept


class Progress:
    """What pip is at, told in one line that changes on a terminal, and now and then in a new line elsewhere."""

    def __init__(self, about: int, started: float) -> None:
        self.started = started
        self.seen: set[str] = set()
        self.doing = "asking the package index"
        self.installing: list[str] = []
        self.done_before = len(installed())
        self.about = max(1, about - self.done_before)
        self.terminal = sys.stdout.isatty()
        self.shown_at = 0.0
        self.shown = ""

    def hear(self, line: str) -> None:
        import re

        words = line.split()
        if line.startswith(("Collecting ", "Processing ")) and len(words) > 1:
            name = re.split("[-<>=!~;[]", words[1].rpartition("/")[2])[0]
            self.seen.add(name.lower().replace("_", "-"))
            self.doing = f"finding {name}"
        elif line.lstrip().startswith("Downloading ") and len(words) > 1:
            # Such as: Downloading numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl (16.0 MB)
            self.doing = " ".join(["downloading", words[1].rpartition("/")[2].split("-")[0], *words[2:4]])
        elif line.startswith("Installing collected packages:"):
            self.installing = line.partition(":")[2].split(",")
            self.done_before = len(installed())
        self.show()

    def show(self) -> None:
        import time

        now = time.monotonic()
        if now - self.shown_at < (0.2 if self.terminal else 10):
            return
        self.shown_at = now
        words = f"  {self.words()} ({duration(now - self.started)})"
        if not self.terminal:
            say(words)
            return
        words = words[: terminal_width() - 1]
        sys.stdout.write("\r" + words.ljust(len(self.shown)))
        sys.stdout.flush()
        self.shown = words

    def words(self) -> str:
        if self.installing:
            done = max(0, len(installed()) - self.done_before)
            return f"installing: {min(done, len(self.installing))} of {len(self.installing)} packages"
        if not self.seen:
            return self.doing
        return f"package {len(self.seen)} of about {max(self.about, len(self.seen))}: {self.doing}"

    def end(self, well: bool) -> None:
        import time

        if self.terminal:
            sys.stdout.write("\r" + " " * len(self.shown) + "\r")
        if well:
            count = len(self.installing)
            what = f"{count} packages installed" if count else "everything was there already"
            say(f"  {what}, in {duration(time.monotonic() - self.started)}.")


def torch_arguments(requirements: str) -> list[str]:
    """What to tell pip about PyTorch, whose builds differ by gigabytes; says the size before anything is downloaded."""
    import platform

    pin = next((line.split("#")[0].strip() for line in requirements.splitlines() if line.startswith("torch==")), None)
    wheel = (pin or "").replace("==", "-")
    if pin is None or any(name.startswith((f"{wheel}.dist-info", f"{wheel}+")) for name in installed()):
        say("Installing what Likeness needs.")
        check_disk(DISK_WITHOUT)
        return []
    if sys.platform != "linux":
        say("Installing what Likeness needs: about 600 MB to download, PyTorch being most of it.")
        check_disk(DISK_WITH_TORCH)
        return []
    if has_nvidia():
        say("Installing what Likeness needs. There is an NVIDIA card, so PyTorch comes with CUDA: several GB to download.")
        check_disk(DISK_WITH_CUDA)
        return []
    check_disk(DISK_WITH_TORCH)
    say("No NVIDIA card here: looking for the PyTorch build without CUDA.")
    wheel = f"{wheel}%2Bcpu-cp{(venv_version() or this_version()).replace('.', '')}-"
    page = fetch(f"{TORCH_INDEX}/torch/", TORCH_INDEX_PATIENCE_S)
    if any(wheel in line and platform.machine() in line for line in page.splitlines()):
        say("Installing what Likeness needs: about 600 MB to download, 200 MB of it PyTorch for the processor.")
        constraint = os.path.join(VENV, "torch.txt")
        write(constraint, f"{pin}+cpu\n")
        return ["--extra-index-url", TORCH_INDEX, "--constraint", constraint]
    say(
        "Its index (download.pytorch.org) doesn't answer, so PyTorch is what pip finds: about 200 MB if that is a build\n"
        "for the processor, several GB if it is the one with CUDA. Both work here. Installing what Likeness needs."
    )
    return []


def has_nvidia() -> bool:
    """True when an NVIDIA driver is at work."""
    import shutil

    return os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi") is not None


def fetch(url: str, patience_s: float) -> str:
    """The page at `url`, empty when it isn't here in time; a name server that is silent counts too."""
    import threading
    import urllib.request

    page = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=patience_s) as answer:
                page.append(answer.read().decode("utf-8", "replace"))
        except (OSError, ValueError):
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience_s)
    return page[0] if page else ""


def packages_folder() -> str | None:
    """Where .venv keeps its packages, None before there is one."""
    if os.name == "nt":
        return os.path.join(VENV, "Lib", "site-packages")
    return os.path.join(VENV, "lib", f"python{venv_version()}", "site-packages")


def installed() -> list[str]:
    """The names, with versions, of the packages in .venv."""
    try:
        return [name for name in os.listdir(packages_folder()) if name.endswith(".dist-info")]
    except OSError:
        return []


def forget_halves() -> None:
    """An installation that was killed can leave a package that claims to be there: one without its list of files."""
    import shutil

    for name in installed():
        folder = os.path.join(packages_folder() or "", name)
        if not os.path.exists(os.path.join(folder, "RECORD")):
            shutil.rmtree(folder)


# What the tests need beyond Python packages


def get_browser() -> None:
    """See that there is a Chromium: Debian's, or Playwright's own."""
    import shutil
    import subprocess

    if shutil.which("chromium") or shutil.which("chromium-browser") or playwright_chromium():
        return
    if apt_install("a browser for the tests", ["chromium", "fonts-dejavu-core"], "chromium"):
        return
    say("Getting a browser for the tests: Playwright's Chromium, about 150 MB.")
    if subprocess.run([venv_python(), "-m", "playwright", "install", "chromium"]).returncode != 0:
        say("No browser could be got: the tests that need one will say so. Installing Chromium by hand mends that.")


def get_nginx() -> None:
    """See that there is an nginx: the door's tests send requests through a real one."""
    if not find_program("nginx") and not apt_install("a web server for the tests", ["nginx"], "nginx"):
        say("There is no nginx here: the tests that need one will say so. Installing nginx by hand mends that.")


def playwright_chromium() -> bool:
    """True when Playwright has a Chromium of its own that is there."""
    import subprocess

    ask = (
        "import os, sys; from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: sys.exit(not os.path.exists(p.chromium.executable_path))"
    )
    return subprocess.run([venv_python(), "-c", ask], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def apt_install(what: str, packages: list[str], program: str) -> bool:
    """Install Debian packages where that needs no password; True when `program` is there afterwards."""
    import shutil
    import subprocess

    # Ubuntu's chromium is a pointer to a snap, which doesn't work in a container; Playwright has builds for Ubuntu.
    ubuntu = "id=ubuntu" in (read("/etc/os-release") or "").lower().splitlines()
    if os.name == "nt" or not shutil.which("apt-get") or (ubuntu and program == "chromium"):
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and (not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL).returncode != 0):
        return False
    say(f"Getting {what}: apt-get install {' '.join(packages)}")
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.run([*apt, "update"], stdout=subprocess.DEVNULL)
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", *packages], stdout=subprocess.DEVNULL)
    if program == "nginx" and os.path.isdir("/run/systemd/system"):
        # It must not serve on this computer from now on because a test wanted to run it.
        subprocess.run([*sudo, "systemctl", "disable", "--now", "nginx"], stderr=subprocess.DEVNULL)
    return find_program(program) is not None


def find_program(name: str) -> str | None:
    """The path of a program, also where only root has its folder on the path."""
    import shutil

    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


# What can go wrong


def check_disk(needed: int) -> None:
    """Stop before anything is half-done when the drive of this folder is too full."""
    import shutil

    free = shutil.disk_usage(HOME).free
    if free < needed:
        stop(
            f"Likeness needs about {needed / GB:.1f} GB on the drive of {HOME}; {free / GB:.1f} GB are free.",
            "Free some space, or move this folder to a bigger drive. Then run the same command again.",
        )


def stop_for_ensurepip() -> None:
    version = this_version()
    if os.path.exists("/etc/debian_version"):
        remedy = f"Install it: sudo apt install python{version}-venv (or python3-venv). Then run the same command again."
    else:
        remedy = "Install Python's venv and ensurepip modules (your system's python3-venv package, or Python from python.org)."
    stop(f"This Python ({sys.executable}) can't make environments: its ensurepip module is missing.", remedy)


def stop_for_full_disk() -> None:
    stop(
        "The disk is full: the installation could not be finished.",
        "Free some space (about 3 GB in all) and run the same command again: it goes on where it stopped.",
    )


def stop_for_disk(error: OSError) -> None:
    import errno

    if error.errno == errno.ENOSPC:
        stop_for_full_disk()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        stop(
            f"This folder can't be written: {error.filename or HOME}.",
            "Give yourself write access to it, or move Likeness to a folder of your own.",
        )
    stop(f"Installing failed: {error}.", "Run the same command again. If it happens again, delete the .venv folder first.")


def stop_for_pip(log: list[str]) -> None:
    """Say what pip's last words mean and what to do."""
    text = "\n".join(log)
    remedy = f"See {os.path.join(VENV, 'pip.log')}."
    for signs, words in PIP_FAULTS.items():
        if any(sign in text for sign in signs):
            remedy = words
            break
    if remedy == FULL_DISK:
        stop_for_full_disk()
    last = [line for line in log if line.startswith(("ERROR", "error"))][-4:] or log[-6:]
    words = "\n".join(f"    {line}" for line in last)
    stop(
        f"pip could not install everything (Python {this_version()}). Its last words:\n{words}",
        f"{remedy} Then run the same command again: it goes on where it stopped.",
    )


FULL_DISK = "Free some space."
PIP_FAULTS = {
    ("No space left on device", "[Errno 28]"): FULL_DISK,
    ("Permission denied", "[Errno 13]", "Read-only file system"): "Give yourself write access to this folder.",
    ("SSLError", "CERTIFICATE_VERIFY_FAILED"): "The connection can't be trusted: check this computer's clock, and its proxy.",
    (
        "ConnectionError",
        "NewConnectionError",
        "NameResolutionError",
        "Max retries",
        "ReadTimeout",
        "ProxyError",
        "Connection broken",
        "IncompleteRead",
        "HTTP error",
    ): "Check the connection to the internet, and the proxy if there is one.",
    ("DO NOT MATCH THE HASHES",): "A download is damaged: empty pip's cache (python -m pip cache purge).",
    (
        "No matching distribution",
        "Could not find a version",
        "Failed building",
        "subprocess-exited-with-error",
        "metadata-generation-failed",
    ): "A package has no build for this system: a 64-bit Python 3.11, 3.12 or 3.13 from python.org has all of them (delete .venv first).",
}


def stop(message: str, remedy: str, status: int = 1) -> None:
    """End the program with what is wrong and what to do."""
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n{remedy}\n")
    raise SystemExit(status)


def check_python() -> None:
    """End the program on a Python that is too old, naming a newer one if this computer has it."""
    if sys.version_info >= OLDEST:
        return
    import shutil

    newer = next((name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name) and runs(name)), None)
    remedy = f"Run it with the newer one: {newer} launch.py" if newer else "Install Python 3.11 or newer from python.org."
    stop(f"Likeness needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.", remedy)


def runs(program: str) -> bool:
    """True when a Python really is what its name says: some version managers leave empty shells behind."""
    import subprocess

    return subprocess.call([program, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def say(words: str) -> None:
    print(words, flush=True)


def duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def terminal_width() -> int:
    import shutil

    return max(40, shutil.get_terminal_size().columns)


def read(path: str) -> str | None:
    """The text of a file, None when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def write(path: str, text: str) -> None:
    """Write a file so that an interruption leaves the old one or the new one."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    check_python()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("\nStopped. Run the same command again to go on where it stopped.")
        sys.exit(INTERRUPTED)
