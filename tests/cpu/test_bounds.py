"""With NUMBA_BOUNDSCHECK=1 no kernel reads or writes beside an array unnoticed, those of many threads included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2]

KERNEL = """
import numba, numpy as np
from dna.cpu.compiler import kernel

@kernel("beside", parallel={parallel})
def write(values, at):
    for i in numba.prange(8):
        values[at + i] = 1

write(np.zeros(8), 0)
write(np.zeros(8), 1)
"""


@pytest.mark.parametrize("parallel", [False, True])
def test_an_index_beside_an_array_is_an_error(tmp_path: Path, parallel: bool) -> None:
    program = tmp_path / "beside.py"
    program.write_text(KERNEL.format(parallel=parallel))
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(PACKAGE)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    ran = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr.strip().endswith("IndexError: index is out of bounds"), ran.stderr
    assert "write(np.zeros(8), 1)" in ran.stderr
