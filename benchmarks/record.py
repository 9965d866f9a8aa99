"""Where and when a benchmark ran: written beside every result."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NUMBERS = re.compile(r"\[[-+.,\s\deE]+\]")
"""A list of numbers, which is to take one line."""
PACKAGES = (
    "numba", "numba-cuda", "cuda-core", "cuda-bindings", "llvmlite", "numpy", "scipy", "torch", "cupy-cuda12x", "cupy-cuda13x",
    "tbb", "scikit-learn",
)  # fmt: skip


def write_result(name: str, result: dict[str, Any], path: Path | None = None) -> Path:
    """Write the result, with date, machine and versions, to `path` or else to `results/<name>.json`."""
    path = RESULTS / f"{name}.json" if path is None else path
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**stamp(), **_machine(), **result}, indent=2)
    path.write_text(NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")
    return path


def stamp() -> dict[str, str | None]:
    """Return the time and the commit."""
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit()}


def _commit() -> str | None:
    """Return the commit that is checked out, with a + where files differ from it; None outside of a repository."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _machine() -> dict[str, Any]:
    import dna

    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "versions": {"dna": dna.__version__, "python": platform.python_version(), **versions()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, where they are there."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
