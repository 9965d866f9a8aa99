"""NVIDIA's compute-sanitizer over a short life of a network: no access beside an array, no race in shared memory.

A tool that does not work on a machine finds nothing either, so each is first given a kernel that it has to object to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from gpu.session import Session

PROGRAM = Path(__file__).with_name("sanitized.py")
TOOLS = {"memcheck": "beside", "racecheck": "race"}
"""What objects to what."""

OPTIONS = {"memcheck": ("--report-api-errors", "no")}
"""Python looks at what calls return; some ask whether the GPU is ready, and take No for an answer."""

FOUND = 86
"""The exit status by which the tool is to say that it found something; a program that fails by itself has another."""

MOST_SECONDS = 600.0
LINES_KEPT = 30


def run(session: Session, tool: str | None = None) -> None:
    """Run every tool on its control, and on the life of a network where it objected to that."""
    if session.simulated:
        session.note("left out: the simulator runs no machine code")
        return
    found = tool or find()
    if found is None:
        session.note("left out: no compute-sanitizer (pip install nvidia-cuda-sanitizer-api)")
        return
    for name, control in TOOLS.items():
        status, output = sanitize(found, name, control, session)
        runs = status == FOUND
        session.check(f"{name} ran, and objects to a kernel that is wrong", runs, status=status, output=[] if runs else output)
        if runs:
            status, output = sanitize(found, name, "life", session)
            session.check(f"{name} finds nothing in the life of a network", status == 0, status=status, output=output)


def find() -> str | None:
    """Return where the tool is: on the path, or where its wheel puts it."""
    wheels = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/compute-sanitizer/compute-sanitizer"))
    return shutil.which("compute-sanitizer") or next((str(path) for path in wheels), None)


def sanitize(tool: str, name: str, what: str, session: Session) -> tuple[int, list[str]]:
    """Run a program under a tool, for as long as the part may take; return the exit status, and the end of what both said."""
    options = ["--tool", name, "--error-exitcode", str(FOUND), *OPTIONS.get(name, ())]
    command = [tool, *options, sys.executable, str(PROGRAM), what, session.device]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    try:
        seconds = min(session.seconds_left, MOST_SECONDS)
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, [str(error)]
    return ran.returncode, (ran.stdout + ran.stderr).splitlines()[-LINES_KEPT:]
