"""`dna inspect` and `dna export`: what they print and write of a saved model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dna
from dna.cli import main


@pytest.fixture
def saved(tmp_path: Path) -> tuple[dna.Network, Path]:
    net = dna.Network([9, 4, 2], device="cpu", seed=4)
    x = np.random.default_rng(0).random((40, 9)).astype(np.float32)
    rule = dna.Extinction(split=0.1, delete=0.3, every=1, patience=0, min_delta=10.0)
    net.fit(x, x[:, :2].argmax(1), epochs=4, optimizer=dna.SGD(0.1), extinction=rule, progress=False)
    net.save(tmp_path / "run.dna")
    return net, tmp_path / "run.dna"


def test_inspect_prints_levels_and_events_as_tables(
    saved: tuple[dna.Network, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    net, path = saved
    assert main(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    topology = net.topology()
    tables = [k for k, line in enumerate(lines) if line.split()[:1] in (["level"], ["event"])]
    assert len(tables) == 2
    into = topology.level[topology.cells.target]
    levels = [line.split() for line in lines[tables[0] + 1 : tables[0] + 4]]
    assert [(row[0], row[1]) for row in levels] == [("0", "9"), ("1", "4"), ("2", "2")]
    assert int(levels[1][4]) == int((into == 1).sum())
    assert float(levels[2][5]) == pytest.approx(topology.cells.weight[into == 2].mean(), rel=1e-3)
    events = [line.split() for line in lines[tables[1] + 1 :]]
    assert len(events) == len(net.fossils) > 0
    for row, event in zip(events, net.fossils, strict=True):
        assert [int(value) for value in row[:6]] == [
            event.number, event.epoch, event.cells_before, event.n_born, event.n_died, event.cells_after,
        ]  # fmt: skip
        assert (float(row[6]), row[8]) == (pytest.approx(event.loss_before, abs=1e-4), "schedule")
    assert f"(fragmentation {net.engine.pool.free / net.engine.pool.bump:.1%})" in "\n".join(lines)
    assert len({len(line) for line in lines[tables[1] :]}) == 1  # columns are straight


def test_export_writes_a_page_or_a_part(saved: tuple[dna.Network, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, path = saved
    page = path.with_name("out.html")
    assert main(["export", str(path), str(page)]) == 0
    assert capsys.readouterr().out == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["export", str(path), str(path.with_name("t.csv")), "--strongest", "3"]) == 0
    assert len(path.with_name("t.csv").read_text().splitlines()) == 4


def test_an_unknown_suffix_is_told_in_one_line(saved: tuple[dna.Network, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(saved[1]), "t.xlsx"]) == 1
    assert capsys.readouterr().err.startswith("dna: UnknownNameError: unknown export format 'xlsx'")
