"""The check for GPUs runs: in the simulator where it can be seen, and with one line where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)


@pytest.mark.cudasim
def test_the_check_passes_in_the_simulator_and_records_what_it_found(tmp_path: Path) -> None:
    ran = run("--device", "cudasim", "--quick", "--only", "allocator", "claims", "--seed", 7, "--out", tmp_path / "found.json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["seed"] == 7 and found["scale"] == "simulated" and "meaningless" in found["gpu"]["timings"]
    assert set(found["parts"]) == {"ceilings", "allocator", "claims"}
    checks, timings = found["parts"]["allocator"]["checks"], found["parts"]["claims"]["timings"]
    assert len(checks) > 50 and all(check["ok"] for check in checks)
    assert all(timing["ms"] > 0 and timing["floor_ms"] > 0 for timing in timings) and len(timings) == 5


@pytest.mark.cudasim
def test_a_broken_part_and_a_failed_check_are_recorded_and_the_rest_goes_on(importable: None) -> None:
    import numpy as np
    from gpu.clock import Clock
    from gpu.session import Session

    session = Session("cudasim", "simulated", 0, Clock(64, 0.0))
    session.run("breaks", lambda session: 1 / 0)
    session.run("fails", lambda session: session.check_close("NaN", np.array([np.nan]), np.ones(1), 1.0))
    session.run("differs", lambda session: session.check_same("types", np.ones(2, np.int32), np.ones(2, np.int64)))
    session.run("works", lambda session: session.check_same("ones", np.ones(2), np.ones(2)))
    assert [part["status"] for part in session.parts.values()] == ["broken", "failed", "failed", "ok"]
    assert "ZeroDivisionError" in session.parts["breaks"]["error"] and session.failed


@pytest.mark.cudasim
def test_floors_are_of_kernels_that_exist_and_of_the_arguments_that_they_take(importable: None) -> None:
    from gpu.kernels import BYTES

    from dna.cuda.catalogue import entries

    found = [entry for entry in entries() if entry.name in BYTES]
    assert {entry.name for entry in found} == set(BYTES)
    for entry in found:
        assert BYTES[entry.name](*entry.arguments) > 0, entry.name


FAKE = """#!/bin/sh
# memcheck objects to whatever `beside` does; racecheck was broken on this machine, and runs nothing
case "$2 $7" in
    "memcheck beside") exit 86 ;;
    "memcheck life") echo "ERROR SUMMARY: 0 errors"; exit 0 ;;
    *) echo "Unable to find injection library"; exit 0 ;;
esac
"""


@pytest.mark.cudasim
def test_a_sanitizer_that_does_not_run_is_not_taken_for_a_program_without_errors(importable: None, tmp_path: Path) -> None:
    from gpu import sanitizer
    from gpu.clock import Clock
    from gpu.session import Session

    tool = tmp_path / "compute-sanitizer"
    tool.write_text(FAKE)
    tool.chmod(0o755)
    session = Session("cuda:0", "quick", 0, Clock(64, 0.0))
    session.run("sanitizer", lambda session: sanitizer.run(session, str(tool)))
    session.run("missing", lambda session: sanitizer.run(session, str(tmp_path / "nowhere")))
    found = [(check["what"].partition(" ")[0], check["ok"]) for check in session.parts["sanitizer"]["checks"]]
    assert found == [("memcheck", True), ("memcheck", True), ("racecheck", False)]
    assert session.parts["sanitizer"]["status"] == session.parts["missing"]["status"] == "failed"


@pytest.mark.cudasim
def test_what_is_sanitized_runs(importable: None) -> None:
    from gpu import sanitized

    sanitized.life("cudasim", (12, 9, 4), samples=10)
    with pytest.raises(IndexError):
        sanitized.beside("cudasim")


def test_goals_are_held_against_what_was_measured(importable: None) -> None:
    from gpu.goals import GOALS, LARGE, compare

    def row(what: str, ms: float, **more: Any) -> dict[str, Any]:
        return {"what": what, "ms": ms, **more}

    ours = f"forward linear {LARGE}, gather"
    parts = {
        "phases": {
            "timings": [
                row(f"forward relu {LARGE}, gather", 1.0, cell_samples_per_s=3.4e12),
                row(f"forward relu {LARGE}, scatter", 0.1, cell_samples_per_s=9e12),
                row(ours, 1.0),
                row(f"{ours}, torch CSR", 1.4, peer="torch CSR (cuSPARSE)", of=ours),
                row(f"{ours}, mask", 2.0, peer="torch dense with a mask", of=ours),
                row(f"{ours}, mask, tf32", 0.5, peer="torch dense with a mask, tf32", of=ours),
            ]
        },
        "claims": {"timings": [row("claims by warp", 1.0, claims_per_s=2e9), row("claims by block", 1.0, claims_per_s=4e10)]},
        "life": {"timings": [row("extinction of 100000000 cells, whole", 12.0), row("extinction of 1000 cells", 0.1)]},
    }
    found = {goal["what"]: (goal["measured"], goal["reached"]) for goal in compare(parts)}
    assert len(found) == len(GOALS)
    assert found["forward, ReLU cells"] == (3.4e12, True)
    assert found["forward, linear, over cuSPARSE"] == (1.4, False)
    assert found["forward, linear, over a dense mask in fp32"] == (2.0, True)
    assert found["claims from kernels"] == (4e10, True)
    assert found["extinction of 10^8 cells"] == (12.0, False)
    assert found["backward, ReLU cells"] == found["extinction of 10^9 cells"] == (None, None)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    ran = run("--device", "cuda:99", "--out", tmp_path / "found.json")
    assert ran.returncode == 2
    assert ran.stdout == "" and ran.stderr.startswith("gpu_check: device 'cuda:99': expected ") and ran.stderr.count("\n") == 1
    assert not (tmp_path / "found.json").exists()
