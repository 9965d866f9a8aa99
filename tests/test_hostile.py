"""Hostile files are refused with a typed error that names the region, or hold a network that works: a short run of the fuzzer.

`make fuzz` does the same with a million models.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dna
from benchmarks import fuzz_files
from benchmarks.fuzz import checkpoint
from dna import check, saved
from dna.checkpoint import State, write_state


@pytest.mark.parametrize(("target", "inputs"), [("models", 3000), ("graphs", 1000), ("idx", 3000)])
def test_nothing_slips_through(target: str, inputs: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = fuzz_files.run(target, 1, inputs)
    assert not told["slipped"], f"python benchmarks/fuzz_files.py --seed 1 --again {target} {told['slipped'][0]['number']}"
    assert told["refused"] > inputs / 3 and told["read"] > inputs / 50, "the fuzzer makes all or nothing of its inputs"


def test_the_fuzzer_sees_what_slips_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(state: State) -> None:
        raise KeyError("region")

    monkeypatch.setattr(checkpoint, "validate_state", fail)
    assert fuzz_files.run("models", 1, 100)["slipped"]


def small_state(**meta: object) -> State:
    state = saved.to_state(dna.Network([2, 2], device="cpu"))
    return State(state.meta | meta, state.arrays)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_small_file_cannot_ask_for_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed: bool) -> None:
    write_state(tmp_path / "net.dna", small_state(capacity=2**31 - 1, fixed=fixed))
    monkeypatch.setattr(check, "memory", lambda: 2**33)
    with pytest.raises(dna.CheckpointError, match=r"meta\.capacity: expected slots that fit into memory, got 2147483647 of"):
        dna.load(tmp_path / "net.dna", device="cpu")


def test_memory_that_is_not_there_is_an_error_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MemoryError("no more")

    write_state(tmp_path / "net.dna", small_state())
    monkeypatch.setattr("dna.assembly.Pool", refuse)
    with pytest.raises(dna.CheckpointError, match=r"meta\.capacity: .* no more"):
        dna.load(tmp_path / "net.dna", device="cpu")


def test_the_machine_has_some_memory() -> None:
    assert 2**26 < check.memory() < 2**60


def test_a_great_many_levels_load_in_little_time(tmp_path: Path) -> None:
    levels = 20_000
    state = small_state(activations=["identity"] * levels, node_names=None)
    nodes = {
        "nodes.level": np.arange(levels, dtype=np.int32),
        "nodes.inputs": np.zeros(1, np.int32),
        "nodes.outputs": np.array([levels - 1], np.int32),
    }
    write_state(tmp_path / "net.dna", State(state.meta, state.arrays | nodes | {"cells.target": np.full(4, 5, np.int32)}))
    start = time.perf_counter()
    dna.load(tmp_path / "net.dna", device="cpu")
    assert time.perf_counter() - start < 60  # it took many minutes once: a hang


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path), lambda path: path.symlink_to(path.parent / "none")])
def test_links_that_lead_nowhere_are_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "net.dna")
    with pytest.raises(dna.CheckpointError):
        dna.load(tmp_path / "net.dna", device="cpu")
