"""Saving is atomic: whatever a killed process leaves is whole, and the next save sweeps the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
KILLS = 200


def test_a_saving_process_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    folders = [str(TESTS.parent), str(TESTS), str(TESTS / "checkpoint")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OPENBLAS_NUM_THREADS": "1"}
    program = [sys.executable, TESTS / "checkpoint" / "killed.py", str(KILLS), "0", tmp_path]
    ran = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["kills"] == KILLS == sum(told["found"])
    assert min(told["found"]) >= KILLS // 20 and told["temporaries"] >= KILLS // 20, "the kills missed the saves"
