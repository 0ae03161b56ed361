"""The door, `rp`: what it says and does on machines that lack things. All programs are fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLAIN_TOOLS = ("cat", "cksum", "dirname", "env", "rm", "tail")

PYTHON = """\
#!/bin/sh
# Stands in for the system's python3 and for the one in .venv.
PATH=/usr/bin:/bin
echo "python $*" >>"$FAKE_LOG"
case "$*" in
  -) cat >/dev/null; cat "$FAKE_BIN/lacks" ;;
  "-I -S -c"*) echo "3.11 (fake)" ;;
  "-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\necho "rpaccel in $PWD:"; for w in "$@"; do echo "<$w>"; done\\n' \\
      >"$3/bin/rpaccel"
    chmod +x "$3/bin/rpaccel"
    ;;
esac
"""
GXX = "#!/bin/sh\n/bin/cat >/dev/null\n"
SUCCESS = "#!/bin/sh\nexit 0\n"


class Machine:
    """A folder with a copy of the door, and a PATH with plain tools and fakes only."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.project.mkdir(parents=True)
        self.bin.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "rp", self.project)
        shutil.copy(ROOT / "pyproject.toml", self.project)
        for tool in PLAIN_TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        self.fake("id", "#!/bin/sh\necho 1000\n")

    def fake(self, name: str, text: str) -> None:
        """Put a program on PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def complete(self, lacks: str = "") -> None:
        """Bring everything that `rp` looks for, but for what Python lacks."""
        (self.bin / "lacks").write_text(lacks)
        self.fake("python3", PYTHON)
        self.fake("g++", GXX)
        self.fake("make", SUCCESS)
        self.fake("perl", SUCCESS)

    def apt(self, body: str) -> None:
        """Put an apt-get on PATH that logs its words and then runs `body`."""
        self.fake(
            "apt-get", f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "apt-get $*" >>"$FAKE_LOG"\n{body}\n'
        )

    def rp(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.bin), "PYTHON": "python3", "FAKE_LOG": str(self.log),
            "FAKE_BIN": str(self.bin),
        }  # fmt: skip
        return subprocess.run(
            [str(self.project / "rp"), *words], env=environment, cwd=cwd or self.project,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def logged(self, start: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_everything_missing_is_said_in_one_line(machine: Machine) -> None:
    done = machine.rp("presets")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "rp: missing: Python 3.11 or later, a C++ compiler, make, perl with Pod::Usage and FindBin;"
        " run: sudo apt-get install -y python3 python3-venv libpython3-dev g++ make perl\n"
    )


def test_parts_of_python_are_found_by_use(machine: Machine) -> None:
    machine.complete(lacks="venv libpython")
    done = machine.rp("presets")
    assert done.returncode == 2
    assert done.stderr == (
        "rp: missing: Python's venv and ensurepip, the shared libpython;"
        " run: sudo apt-get install -y python3-venv libpython3-dev\n"
    )


def test_root_installs_without_refreshing_lists(machine: Machine) -> None:
    machine.complete()
    (machine.bin / "make").unlink()
    machine.fake("id", "#!/bin/sh\necho 0\n")
    machine.apt('cp "$FAKE_BIN/perl" "$FAKE_BIN/make"')
    done = machine.rp("presets")
    assert done.returncode == 0, done.stderr
    assert "rp: installing with apt-get: make (for make)" in done.stderr
    assert machine.logged("apt-get") == ["apt-get install -y --no-install-recommends make"]


def test_lists_are_refreshed_when_the_first_try_fails(machine: Machine) -> None:
    machine.complete()
    (machine.bin / "perl").unlink()
    machine.fake("id", "#!/bin/sh\necho 0\n")
    machine.apt("exit 1")
    done = machine.rp("presets")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("rp: missing: perl with Pod::Usage and FindBin;")
    install = "apt-get install -y --no-install-recommends perl"
    assert machine.logged("apt-get") == [install, "apt-get update", install]


def test_password_less_sudo_is_used(machine: Machine) -> None:
    machine.complete()
    (machine.bin / "make").unlink()
    machine.fake("sudo", '#!/bin/sh\necho "sudo $*" >>"$FAKE_LOG"\nshift\nexec "$@"\n')
    machine.fake("true", SUCCESS)
    machine.apt('cp "$FAKE_BIN/perl" "$FAKE_BIN/make"')
    assert machine.rp("presets").returncode == 0
    assert any("apt-get install" in line for line in machine.logged("sudo -n"))


def test_words_and_folder_reach_the_command(machine: Machine, tmp_path: Path) -> None:
    machine.complete()
    done = machine.rp("run", "--partition", "4x4:2@1, 8x8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [f"rpaccel in {tmp_path}:", "<run>", "<--partition>", "<4x4:2@1, 8x8>"]
    assert done.stdout.splitlines() == expected


def test_second_start_sets_up_nothing_and_is_quick(machine: Machine) -> None:
    machine.complete()
    assert machine.rp("presets").returncode == 0
    machine.log.write_text("")
    times = []
    for _ in range(3):
        start = time.monotonic()
        assert machine.rp("presets").stderr == ""
        times.append(time.monotonic() - start)
    assert machine.logged("python -m") == []
    assert min(times) < 0.5


def test_checks_bring_their_own_packages_once(machine: Machine) -> None:
    machine.complete()
    for word in ("test", "test", "test-slow", "presets"):
        machine.rp(word, "-x")
    pip = [line.split()[-1] for line in machine.logged("python -m pip")]
    extras = ("[test]", "[test,synth]", "")  # long checks also place and route
    assert pip == [f"{machine.project}{extra}" for extra in extras]
    pytest_words = [line for line in machine.logged("python -m pytest")]
    assert pytest_words[0] == "python -m pytest -n auto -m not slow and not torch -x"
    assert pytest_words[2] == "python -m pytest -n auto -m slow and not torch -x"


def test_changed_requirements_and_moved_project_are_noticed(machine: Machine) -> None:
    machine.complete()
    machine.rp("presets")
    with (machine.project / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    machine.rp("presets")
    assert len(machine.logged("python -m pip")) == 2
    assert len(machine.logged("python -m venv")) == 1
    moved = machine.project.with_name("elsewhere")
    machine.project.rename(moved)
    machine.project = moved
    assert machine.rp("presets").returncode == 0
    assert len(machine.logged("python -m venv")) == 2


def test_failed_installation_is_not_taken_for_done(machine: Machine) -> None:
    machine.complete()
    failing = PYTHON.replace("  -) cat", '  "-m pip "*) echo no network; exit 1 ;;\n  -) cat')
    machine.fake("python3", failing)
    for _ in range(2):
        done = machine.rp("presets")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("rp: pip could not install the packages;")
    assert len(machine.logged("python -m pip")) == 2


def test_path_with_a_space(tmp_path: Path) -> None:
    done = Machine(tmp_path / "my projects").rp("presets")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "has a space in it" in done.stderr


def test_real_tools_are_recognised() -> None:
    """The probes themselves, run on this machine, which can run this test suite."""
    if not (ROOT / ".venv" / "bin" / "rpaccel").exists():
        pytest.skip("set up by other means than rp")
    done = subprocess.run(
        [str(ROOT / "rp"), "presets"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ""}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "paper" in done.stdout
