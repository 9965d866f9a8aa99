"""Kernels that choose and write cells mean the same in plain Python: changed copies of the code are tried so, many in an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(np.__version__ < "2", reason="before NumPy 2 its unsigned integers and Python's make a float")
def test_selection_runs_as_it_is_written() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    tests = "tests/cpu/test_select.py", "tests/cpu/test_rank.py"
    options = "-q", "-p", "no:cacheprovider", "-p", "interpreted", "-m", "not cudasim", "-k", "not float64 and not large"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
