"""The project's own tests for a GPU, in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from gpu.session import Session

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("pytest", "hypothesis", "networkx", "scipy", "tqdm", "safetensors")
LINES_KEPT = 60
SECONDS = 1500


def run(session: Session) -> None:
    """Run `pytest -m gpu` and keep its summary; a quick run takes a few files only."""
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        session.note(f"left out, as the tests need {', '.join(missing)}")
        return
    files = session.pick(
        ["tests"],
        [f"tests/test_{name}.py" for name in ("forward", "backward", "apply", "pool")],
        ["tests/cuda/test_device.py"],
    )
    marker = "cudasim" if session.simulated else "gpu"
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, "-p", "no:cacheprovider", *files]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DNA_REQUIRE_GPU": "1"}
    try:
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        tail = (error.stdout or b"").decode(errors="replace").splitlines()[-LINES_KEPT:]
        session.check(f"pytest -m {marker} ends within {SECONDS} s", ok=False, output=tail)
        return
    output = ran.stdout.splitlines()
    session.check(f"pytest -m {marker}", ran.returncode == 0, summary=output[-1:], files=files)
    if ran.returncode:
        session.note("\n".join([*output[-LINES_KEPT:], *ran.stderr.splitlines()[-10:]]))
    else:
        session.note(output[-1])
