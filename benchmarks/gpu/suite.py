"""The project's own tests for a GPU, in a process of their own, or in several where pytest-xdist is there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gpu.session import Session

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("pytest", "hypothesis", "networkx", "scipy", "tqdm", "safetensors")
RUNS_ON_A_GPU = re.compile(r"\bdevice: str\b|\bmark\.gpu\b")
"""What is in the files of tests that run on a GPU. The others are not imported, as they may need packages that are missing."""

LINES_KEPT = 120
WORKERS = max(1, min(8, (os.cpu_count() or 1) // 2))


def run(session: Session) -> None:
    """Run `pytest -m gpu` and keep its summary; a quick run takes a few files only."""
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        session.note(f"left out, as the tests need {', '.join(missing)}")
        return
    few = [f"tests/test_{name}.py" for name in ("forward", "backward", "apply", "pool")]
    files = session.pick(files_of_gpu(), few, ["tests/cuda/test_device.py"])
    marker = "cudasim" if session.simulated else "gpu"
    options = ["-q", "--tb=short", "-m", marker, "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    if importlib.util.find_spec("xdist") and not session.simulated:
        options += ["-p", "xdist.plugin", "-n", str(WORKERS), "--dist", "worksteal"]
    # Other plugins of the machine may warn of each other, and a warning is an error here.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DNA_REQUIRE_GPU": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    status, output = _run([sys.executable, "-m", "pytest", *options, *files], environment, session.seconds_left)
    if status is None:
        session.check(f"pytest -m {marker} ends in time", ok=False, output=output[-LINES_KEPT:])
        return
    session.check(f"pytest -m {marker}", status == 0, summary=output[-1:], files=files)
    session.note("\n".join(output[-LINES_KEPT:] if status else output[-1:]))


def files_of_gpu() -> list[str]:
    """Return the files of tests that run on a GPU."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in files if RUNS_ON_A_GPU.search(path.read_text())]


def _run(command: list[str], environment: dict[str, str], seconds: float) -> tuple[int | None, list[str]]:
    """Run a command; return its exit status, or None where its time was up, and what it said until then."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            ran = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
            status: int | None = ran.returncode
        except subprocess.TimeoutExpired:
            status = None
        said.seek(0)
        return status, said.read().splitlines()
