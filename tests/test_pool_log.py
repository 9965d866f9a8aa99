"""A log of claims and releases: recorded from a life, replayed on a new pool, and refused where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

import dna
from dna.pool import Pool
from dna.pool_log import Entry, PoolLog


def life(device: str) -> PoolLog:
    """Return the log of a network's extinctions, from its first cells on."""
    net = dna.Network([4, 3], device=device, init="glorot", seed=5)
    log = PoolLog([Entry("claim", tuple(range(12)))])  # the first cells are laid down at once
    net.engine.pool.log = log
    for k in range(12):
        net.extinction(dna.Extinction(split=0.4 - 0.03 * k, delete=0.3))
    return log


def test_a_recorded_life_can_be_replayed_on_every_device(device: str, tmp_path: Path) -> None:
    log = life("cpu")
    assert {entry.kind for entry in log.entries} == {"claim", "release"}
    log.write(tmp_path / "log.jsonl")
    again = PoolLog.read(tmp_path / "log.jsonl")
    assert again.entries == log.entries
    pool = Pool(dna.Network([1, 1], device=device).backend, 2, fixed=False)
    recorder = pool.log = PoolLog()
    again.replay(pool)
    assert recorder.entries == again.entries[: len(recorder.entries)]


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([Entry("claim", (0, 2))], r"entry 0: expected a claim of the slots \[0, 2\], got \[0, 1\]"),
        ([Entry("claim", (0, 1)), Entry("release", (2,))], "entry 1: expected a release of slots in use"),
        ([Entry("claim", (0, 1)), Entry("release", (1, 1))], "entry 1: expected a release of slots in use"),
    ],
)
def test_a_log_that_lies_is_refused(entries: list[Entry], match: str) -> None:
    pool = Pool(dna.Network([1, 1], device="cpu").backend, 2, fixed=False)
    with pytest.raises(dna.DataError, match=match):
        PoolLog(entries).replay(pool)


@pytest.mark.parametrize("content", ["x", "[]", '["claim", "0"]', '["fly", 1]', "3", "[" * 5000])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "log").write_text(content)
    with pytest.raises(dna.DataError, match="expected a log of claims and releases"):
        PoolLog.read(tmp_path / "log")


def test_growth_between_entries_changes_no_slot() -> None:
    log = life("cpu")
    for capacity in (1, 64, 10_000):
        log.replay(Pool(dna.Network([1, 1], device="cpu").backend, capacity, fixed=False))
    with pytest.raises(dna.PoolExhausted):
        log.replay(Pool(dna.Network([1, 1], device="cpu").backend, 12, fixed=True))
