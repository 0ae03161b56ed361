"""Runs the WebAssembly tools of the extra ``synth``: output to a log, its headings as progress."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import SynthesisError

__all__ = ["Progress", "quiet", "require", "run_tool"]

Progress = Callable[[str], None]

_INTERVAL = 10.0
"""Seconds between two lines of progress."""


def quiet(_text: str) -> None:
    """Progress that nobody wants to see."""


def require(module: str) -> None:
    """Check that the package ``module`` is there.

    Raises
    ------
    SynthesisError
        It is not; says how to get it.
    """
    if importlib.util.find_spec(module) is None:
        package = module.replace("_", "-")
        raise SynthesisError(
            f"{package} is not installed: run `./rp synth`, or install the extra 'synth' "
            "(pip install 'rpaccel[synth]')"
        )


def run_tool(
    module: str,
    function: str,
    words: Sequence[str],
    *,
    folder: Path,
    log: str,
    heading: str,
    progress: Progress = quiet,
) -> None:
    """Run ``module.function(words)`` in a process of its own with ``folder`` as current folder.

    Parameters
    ----------
    module, function
        Entry point of the package.
    words
        Command line. The tool sees only files below ``folder``.
    folder, log
        Where it runs, and the file there that takes what it prints.
    heading
        Pattern; its first group is shown from time to time.
    progress
        Takes a line every ten seconds or so.

    Raises
    ------
    SynthesisError
        Not installed, or it failed; the message has its last error line.
    """
    require(module)
    call = f"import sys, {module} as m; sys.exit(m.{function}(sys.argv[1:]))"
    pattern = re.compile(heading)
    shown, now, last_error, last = time.monotonic(), "", "", ""
    with (
        open(folder / log, "w") as file,
        subprocess.Popen(
            [sys.executable, "-c", call, *words],
            cwd=folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                last = line.strip() or last
                if "ERROR" in line:
                    last_error = line.strip()
                if found := pattern.search(line):
                    now = found[1]
                if now and time.monotonic() - shown >= _INTERVAL:
                    progress(f"  {now}")
                    shown, now = time.monotonic(), ""
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise SynthesisError(f"{module} failed: {last_error or last}; see {folder / log}")
