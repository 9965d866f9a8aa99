"""Plots: what is drawn is what was given, numbers can be read, and no window is ever asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dna.errors import FileError, MissingExtraError, OptionError, ShapeError, UnknownNameError
from dna.graph.plots import plot_class_maps, plot_loss, save_figure
from dna.graph.topology import Topology

pytest.importorskip("matplotlib")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

Make = Callable[..., Topology]

TRAIN = [2.0, 1.5, 1.2, 1.3, 1.0, 0.9]
VALIDATION = [2.1, 1.6, 1.4, 1.5, 1.2, 1.1]


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_losses_stand_at_their_epochs() -> None:
    ax = plot_loss(TRAIN, VALIDATION, [])
    curves = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert curves == {"training": ([1, 2, 3, 4, 5, 6], TRAIN), "validation": ([1, 2, 3, 4, 5, 6], VALIDATION)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_without_validation_there_is_one_curve() -> None:
    assert [line.get_label() for line in plot_loss(TRAIN, None, []).lines] == ["training"]


def test_every_extinction_has_a_line_and_its_numbers() -> None:
    ax = plot_loss(TRAIN, None, [(5, 7, 1234), (3, 784, 784)])
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [3, 5]
    assert labels(ax) == ["+784\n\N{MINUS SIGN}784", "+7\n\N{MINUS SIGN}1,234"]
    assert ax.get_legend().get_texts()[-1].get_text() == "2 extinctions: 791 born, 2,018 died"


def test_one_extinction_is_told_in_the_singular() -> None:
    assert plot_loss(TRAIN, None, [(3, 1, 2)]).get_legend().get_texts()[-1].get_text() == "1 extinction: 1 born, 2 died"


@pytest.mark.parametrize(("epochs", "every", "cells"), [(40, 5, 784), (200, 4, 1234), (300, 1, 1234567)])
def test_labels_never_run_into_each_other(epochs: int, every: int, cells: int) -> None:
    events = [(epoch, cells, cells) for epoch in range(2, epochs, every)]
    ax = plot_loss(np.linspace(2, 1, epochs), None, events)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 5
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert len(ax.lines) == 1 + len(events)


def test_losses_are_drawn_where_the_user_says() -> None:
    ax = Figure().subplots(1, 2)[1]
    assert plot_loss(TRAIN, None, [(3, 1, 1)], ax=ax) is ax


@pytest.mark.parametrize(("train", "validation", "message"), [([], None, "got 0"), (TRAIN, VALIDATION[:4], "got 6 and 4")])
def test_losses_that_do_not_fit(train: list[float], validation: list[float] | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        plot_loss(train, validation, [])


@pytest.fixture
def single_layer(make: Make) -> Topology:
    """2 x 3 pixels whose columns of x are the nodes backwards, and two classes; a pixel with three cells, and some with none."""
    ends = [(5, 6), (5, 6), (5, 6), (4, 6), (0, 6), (3, 7), (3, 7), (1, 7)]
    return make((6, 2), ends, inputs=[5, 4, 3, 2, 1, 0], input_shape=(2, 3), activations=("identity", "identity"))


def images(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]


def test_class_maps_show_counts_and_sums(single_layer: Topology) -> None:
    counts, weights = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    for source, target, weight in zip(
        single_layer.cells.source, single_layer.cells.target, single_layer.cells.weight.astype(float), strict=True
    ):
        row, column = divmod(5 - source, 3)
        counts[target - 6, row, column] += 1
        weights[target - 6, row, column] += weight
    shown = images(plot_class_maps(single_layer))
    assert counts[0].tolist() == [[3, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(shown[:2], counts)
    np.testing.assert_allclose(shown[2:], weights, rtol=1e-12)


def test_scales_are_shared_white_at_zero_and_centred(single_layer: Topology) -> None:
    panels = [ax.images[0] for ax in plot_class_maps(single_layer).axes if ax.images]
    counts, weights = panels[:2], panels[2:]
    assert counts[0].norm.boundaries.tolist() == counts[1].norm.boundaries.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert counts[0].cmap(counts[0].norm(0)) == (1, 1, 1, 1)
    assert len({(image.norm.vmin, image.norm.vmax) for image in weights}) == 1
    assert weights[0].norm.vmin == -weights[0].norm.vmax


def test_a_weight_beyond_the_scale_is_announced_by_the_bar(make: Make) -> None:
    weight = np.ones(900, np.float32)
    weight[0] = -50
    topology = make((900, 1), [(k, 900) for k in range(900)], input_shape=(30, 30), weight=weight)
    figure = plot_class_maps(topology)
    panels = [ax.images[0] for ax in figure.axes if ax.images]
    assert panels[1].norm.vmax == pytest.approx(1.0)
    assert panels[1].colorbar.extend == "min"


def test_classes_are_titled_by_number_or_by_name(single_layer: Topology, make: Make) -> None:
    def titles(figure: Figure) -> list[str]:
        return [ax.get_title() for ax in figure.axes if ax.get_title()]

    assert titles(plot_class_maps(single_layer)) == ["0", "1"]
    named = make((1, 2), [(0, 1)], input_shape=(1, 1), names=("pixel", "cat", "dog"))
    assert titles(plot_class_maps(named)) == ["cat", "dog"]


def test_many_classes_wrap_and_many_cells_share_a_growing_scale(make: Make) -> None:
    topology = make((4, 13), [(0, 4)] * 50 + [(3, 16)], input_shape=(2, 2))
    shown = images(plot_class_maps(topology))
    assert len(shown) == 26
    assert shown[0].tolist() == [[50, 0], [0, 0]]
    assert shown[22].tolist() == [[0, 0], [0, 1]]


def test_class_maps_without_cells_and_into_the_users_figure(make: Make) -> None:
    figure = Figure()
    assert plot_class_maps(make((4, 2), [], input_shape=(2, 2)), figure) is figure
    assert all(not image.any() for image in images(figure))
    figure.draw_without_rendering()


def test_class_maps_need_pixels_and_a_single_layer(deep: Topology, make: Make) -> None:
    with pytest.raises(OptionError, match="two levels, got 3"):
        plot_class_maps(deep)
    with pytest.raises(OptionError, match="pixels"):
        plot_class_maps(make((4, 2), []))


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_are_written_as_their_suffix_says(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = save_figure(plot_loss(TRAIN, VALIDATION, [(3, 1, 1)]).figure, tmp_path / f"loss.{suffix}")
    assert path.read_bytes().startswith(start)


def test_the_png_holds_ink(tmp_path: Path, single_layer: Topology) -> None:
    pixels = imread(save_figure(plot_class_maps(single_layer), tmp_path / "maps.png"))
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


def test_an_unknown_suffix_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    figure = plot_loss(TRAIN, None, []).figure
    with pytest.raises(UnknownNameError, match=r"figure format 'pgn' \(did you mean 'png'\?\)"):
        save_figure(figure, tmp_path / "loss.pgn")
    with pytest.raises(FileError, match="existing folder"):
        save_figure(figure, tmp_path / "nowhere" / "loss.png")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, single_layer: Topology) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for plot in (lambda: plot_loss(TRAIN, None, []), lambda: plot_class_maps(single_layer)):
        with pytest.raises(MissingExtraError, match=r"pip install hebbian-dna\[plots\]"):
            plot()


def test_no_window_library_is_loaded(tmp_path: Path) -> None:
    code = f"""
import sys
from dna.graph.plots import plot_loss, save_figure
assert "matplotlib" not in sys.modules, "importing the module already loads matplotlib"
save_figure(plot_loss([1.0, 0.5], None, [(1, 2, 2)]).figure, {str(tmp_path / "loss.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
