"""The examples run, and leave what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_the_tour_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path(str(EXAMPLES / "tour.py"))
    told = capsys.readouterr().out
    assert left["net"].evaluate(left["x"], left["y"])["accuracy"] > 0.9
    assert len(left["net"].fossils) >= 3
    assert "of 64 pixels reach it" in told
    written = {path.name for path in (tmp_path / "runs" / "tour").iterdir()}
    formats = {"topology.html", "topology.gexf", "topology.csv", "topology.png"}
    assert written == formats | {"epochs.jsonl", "survival.png", "families.png", "tour.dna"}


@pytest.mark.slow
def test_the_gallery_draws_every_picture_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = runpy.run_path(str(EXAMPLES / "gallery.py"), run_name="gallery")
    monkeypatch.setitem(gallery["main"].__globals__, "look_at_page", lambda net, folder: None)
    gallery["main"](tmp_path, epochs=12)
    shown = {path.name for path in (EXAMPLES.parent / "docs" / "images").glob("gallery-*.png")}
    assert {path.name for path in tmp_path.iterdir()} == shown
