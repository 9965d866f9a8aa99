"""The check for GPUs runs: in the simulator where it can be seen, and with one line where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
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
    parts = "allocator", "claims", "step"
    ran = run("--device", "cudasim", "--quick", "--only", *parts, "--seed", 7, "--out", tmp_path / "found.json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["seed"] == 7 and found["scale"] == "simulated" and "meaningless" in found["gpu"]["timings"]
    assert set(found["parts"]) == {"ceilings", *parts} and all(part["status"] == "ok" for part in found["parts"].values())
    checks, timings = found["parts"]["allocator"]["checks"], found["parts"]["claims"]["timings"]
    assert len(checks) > 50 and all(check["ok"] for check in checks)
    assert all(timing["ms"] > 0 and timing["floor_ms"] > 0 for timing in timings) and len(timings) == 5


@pytest.mark.cudasim
def test_a_broken_part_and_a_failed_check_are_recorded_and_the_rest_goes_on(importable: None) -> None:
    from gpu.clock import Clock
    from gpu.session import Session

    session = Session("cudasim", "simulated", 0, Clock(64, 0.0))
    session.run("breaks", lambda session: 1 / 0)
    session.run("fails", lambda session: session.check_close("NaN", np.array([np.nan]), np.ones(1), 1.0))
    session.run("differs", lambda session: session.check_same("types", np.ones(2, np.int32), np.ones(2, np.int64)))
    session.run("works", lambda session: session.check_same("ones", np.ones(2), np.ones(2)))
    assert [part["status"] for part in session.parts.values()] == ["broken", "failed", "failed", "ok"]
    assert "ZeroDivisionError" in session.parts["breaks"]["error"] and session.failed


PROGRAM = """
import json, os, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
def write(found):
    with open(given["--out"], "w") as file:
        json.dump(found, file)
if given["--part"] == "machine":
    write({"machine": {"description": "a GPU"}})
    sys.exit()
part = {"status": "running", "seconds": 0.0, "checks": [{"what": "first", "ok": True}], "timings": [], "notes": []}
write({"part": part, "ceilings": {"copy": 3.0}})
print("begins", flush=True)
if given["--part"] == "hangs":
    time.sleep(60)
if given["--part"] == "dies":
    os.abort()
write({"part": part | {"status": "ok", "notes": [given["--ceilings"]]}, "ceilings": {"copy": 3.0}})
"""


def test_parts_that_hang_or_die_leave_what_they_found_and_others_go_on(
    importable: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gpu import conductor
    from gpu.parts import Part

    monkeypatch.setattr(conductor, "GRACE", 5.0)  # enough for a busy machine to begin
    program, kept = tmp_path / "program.py", list[int]()
    program.write_text(PROGRAM)
    whole = conductor.Conductor(conductor.Order(program, "cuda:0", False, 0, 10.0), lambda whole: kept.append(len(whole.parts)))
    assert whole.look() is None and whole.machine == {"description": "a GPU"}
    whole.run({"hangs": Part("", 0.0), "dies": Part("", 60.0), "works": Part("", 60.0), "timed": Part("", 60.0, timed=True)})
    assert {name: part["status"] for name, part in whole.parts.items()} == {
        "hangs": "stopped", "dies": "died", "works": "ok", "timed": "ok",
    }  # fmt: skip
    assert all(part["checks"] for part in whole.parts.values()) and "begins" in whole.parts["dies"]["error"]
    assert json.loads(whole.parts["timed"]["notes"][0]) == {"copy": 3.0}
    assert kept[-1] == 4 and whole.failed


def test_no_part_begins_when_the_time_of_the_run_is_up(importable: None, tmp_path: Path) -> None:
    from gpu import conductor
    from gpu.parts import Part

    whole = conductor.Conductor(conductor.Order(tmp_path / "none.py", "cuda:0", False, 0, 0.0), lambda whole: None)
    whole.run({"late": Part("", 60.0)})
    assert whole.parts["late"]["status"] == "stopped" and "left out" in whole.parts["late"]["error"]


def test_all_parts_can_be_chosen_and_fit_into_the_time_of_a_run(importable: None) -> None:
    from gpu.parts import NAMES, PARTS, chosen, rounds, stretch

    together = rounds(PARTS)
    assert [name for group in together for name in group] == list(PARTS) == list(chosen(NAMES))
    assert sum(max(part.seconds for part in group.values()) for group in together) * stretch(PARTS, 2.0) < 120
    assert all(len(group) == 1 for group in together if any(part.timed for part in group.values()))
    assert list(chosen(["step"])) == ["ceilings", "step"] and list(chosen(["allocator"])) == ["allocator"]


def test_files_with_tests_for_a_gpu_are_found_and_no_others_imported(importable: None) -> None:
    from gpu.suite import files_of_gpu

    found = files_of_gpu()
    assert {"tests/test_forward.py", "tests/test_docs.py"} <= set(found)
    assert not {"tests/graph/test_formats.py", "tests/cuda/test_simulator.py"} & set(found)


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
case "$*" in
    *memcheck*beside*) exit 86 ;;
    *memcheck*life*) echo "ERROR SUMMARY: 0 errors"; exit 0 ;;
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


def types_of(argument: Any) -> Any:
    """Return what Numba would compile a kernel for."""
    if isinstance(argument, tuple):
        return type(argument).__name__, *map(types_of, argument)
    if isinstance(argument, np.generic):
        return argument.dtype.name
    if hasattr(argument, "shape"):
        return np.dtype(argument.dtype).name, len(argument.shape)
    return {bool: "bool", int: "int64", float: "float64"}[type(argument)]


@pytest.mark.cudasim
def test_what_is_sanitized_runs_by_kernels_for_the_types_that_the_catalogue_compiles(
    importable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator asks for no types, and without a GPU nothing else is launched."""
    from gpu import sanitized
    from gpu.kernels import _name

    from dna.cuda import device
    from dna.cuda.catalogue import entries

    launched, original = set(), device._configured

    def configured(function: Any, blocks: int, threads: int) -> Any:
        def launch(*arguments: Any) -> None:
            launched.add((_name(function), types_of(arguments)))
            original(function, blocks, threads)(*arguments)

        return launch

    monkeypatch.setattr(device, "_configured", configured)
    sanitized.life("cudasim", (12, 9, 4), samples=10)
    assert len({name for name, _ in launched}) > 40
    assert not launched - {(entry.name, types_of(entry.arguments)) for entry in entries()}
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
