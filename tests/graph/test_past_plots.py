"""Plots of the past and of distributions: what is drawn is what was counted, by another hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.stats import CensoredData, ecdf

import dna
from dna.errors import OptionError, ShapeError
from dna.graph.layout import lay_out
from dna.graph.lives import ALIVE, Lives, lives
from dna.graph.plots import (
    plot_cells,
    plot_degrees,
    plot_families,
    plot_signals,
    plot_survival,
    plot_topology,
    plot_values,
    save_figure,
)
from dna.graph.plots.distributions import at_least
from dna.graph.plots.families import founders
from dna.graph.plots.survival import survival
from dna.graph.topology import Topology

Make = Callable[..., Topology]


@pytest.fixture(scope="module")
def net() -> dna.Network:
    made = dna.Network([8, 4], device="cpu", init="glorot", seed=3)
    for _ in range(5):
        made.extinction(dna.Extinction(split=0.3, delete=0.25, jitter=0.5))
    return made


@pytest.fixture(scope="module")
def past(net: dna.Network) -> Lives:
    return lives(net.topology(), net.fossils)


@pytest.mark.parametrize("seed", range(5))
def test_survival_is_the_estimate_that_scipy_makes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    age, dead = rng.integers(1, 9, 80), rng.random(80) < 0.6
    ours = survival(age, dead)
    theirs = ecdf(CensoredData.right_censored(age, ~dead)).sf
    np.testing.assert_allclose(ours.share, theirs.evaluate(ours.age), rtol=1e-12)
    low = theirs.confidence_interval(method="linear").low
    inside = (ours.share - 1.959963984540054 * ours.deviation > 0) & (ours.share < 1)
    np.testing.assert_allclose(
        (ours.share - 1.959963984540054 * ours.deviation)[inside], low.evaluate(ours.age)[inside], rtol=1e-9
    )


def test_survival_by_hand() -> None:
    estimate = survival(np.array([1, 1, 2, 3, 3]), np.array([True, False, True, True, False]))
    np.testing.assert_allclose(estimate.share, [1, 4 / 5, 4 / 5 * 2 / 3, 4 / 5 * 2 / 3 / 2])
    assert estimate.age.tolist() == [0, 1, 2, 3]


def test_the_curves_of_survival_are_of_founders_and_of_those_born_later(past: Lives) -> None:
    ax = plot_survival(past)
    founder = past.born == 0
    age = np.where(past.died == ALIVE, past.last, past.died) - past.born
    for group, line in zip((founder, ~founder), [line for line in ax.lines if line.get_drawstyle() == "steps-post"], strict=True):
        expected = survival(age[group], past.died[group] != ALIVE)
        assert np.asarray(line.get_ydata())[:-1].tolist() == expected.share.tolist()
        assert f"{int(group.sum())} cells" in str(line.get_label())


def test_founders_are_those_of_the_lineages(net: dna.Network, past: Lives) -> None:
    line = founders(past)
    for row in range(0, len(past), 7):
        assert past.id[line[row]] == net.fossils.lineage(int(past.id[row])).family[0]


def test_the_largest_families_are_drawn_life_by_life(past: Lives) -> None:
    ax = plot_families(past, 3)
    sizes = np.sort(np.unique(founders(past), return_counts=True)[1])[::-1][:3]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert [int(label.split("\n")[1].split()[0]) for label in labels] == sizes.tolist()
    lives_drawn = [collection for collection in ax.collections if collection.get_linewidths()[0] > 1]
    assert [len(collection.get_paths()) for collection in lives_drawn] == sizes.tolist()


def test_values_of_both_versions_share_their_bins(net: dna.Network) -> None:
    before, after = net.at(4), net.topology()
    ax = plot_values(before, after)
    one, two = (patch.get_data() for patch in ax.patches)
    assert one.edges.tolist() == two.edges.tolist()
    assert (one.values.sum(), two.values.sum()) == (len(before.cells), len(after.cells))
    np.testing.assert_array_equal(two.values, np.histogram(after.cells.weight, two.edges)[0])


def test_equal_and_infinite_values_are_drawn(make: Make) -> None:
    same = make((1, 1), [(0, 1)] * 3, bias=np.zeros(3, np.float32))
    ax = plot_values(same, same, "bias")
    assert [patch.get_data().values.sum() for patch in ax.patches] == [3, 3]
    diverged = replace(same, cells=replace(same.cells, weight=np.array([1, np.inf, np.nan], np.float32)))
    assert [patch.get_data().values.sum() for patch in plot_values(diverged, diverged).patches] == [1, 1]
    with pytest.raises(OptionError, match="expected 'weight' or 'bias', got 'id'"):
        plot_values(same, same, "id")


def test_degrees_are_shares_of_nodes_with_at_least_so_many(deep: Topology) -> None:
    lines = {str(line.get_label()).split(",")[0]: line for line in plot_degrees(deep).lines}
    assert np.asarray(lines["cells out"].get_xdata()).tolist() == [1, 2, 4]
    np.testing.assert_allclose(lines["cells out"].get_ydata(), [1, 2 / 5, 1 / 5])
    steps, shares = at_least(np.array([0, 0, 3, 1]))
    assert (steps.tolist(), shares.tolist()) == ([1, 3], [0.5, 0.25])


@pytest.mark.parametrize(("levels", "ends"), [((1, 1), [(0, 1)] * 3), ((9, 1), [(k, 9) for k in range(9)] * 20)])
def test_ticks_of_degrees_and_counts_are_plain_numbers(make: Make, levels: tuple[int, ...], ends: list[tuple[int, int]]) -> None:
    topology = make(levels, ends)
    for ax in (plot_degrees(topology), plot_values(topology, topology)):
        cast("Figure", ax.figure).draw_without_rendering()
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
            shown = [label.get_text() for at, label in ticks if low <= at <= high]
            assert shown
            assert not any("$" in text or "e" in text for text in shown)
    counts = [text.get_text().replace(",", "") for text in ax.get_yticklabels()]
    assert all(text.lstrip("\N{MINUS SIGN}-").isdigit() for text in counts)


def test_cells_that_skip_a_level_are_bent_and_nodes_are_inside(deep: Topology) -> None:
    ax = plot_topology(deep)
    lines = next(collection for collection in ax.collections if isinstance(collection, LineCollection)).get_segments()
    bent = [np.asarray(line) for line in lines if len(line) > 2]
    assert len(bent) == 1, "one of the nine skips the hidden level"
    place = lay_out(deep).place
    np.testing.assert_allclose(bent[0][[0, -1]], place[[2, 6]], atol=1e-6)
    middle, straight = bent[0][len(bent[0]) // 2], place[[2, 6]].mean(0)
    assert abs(middle[1] - straight[1]) > 0.08 * np.linalg.norm(place[6] - place[2])
    assert (middle[1] > straight[1]) == (straight[1] > 0), "away from the axis"
    (left, right), (bottom, top) = ax.get_xlim(), sorted(ax.get_ylim())
    assert left < place[:, 0].min() - 0.4 < place[:, 0].max() + 0.4 < right
    assert bottom < place[:, 1].min() - 0.4 < place[:, 1].max() + 0.4 < top


def test_few_cells_are_never_faint(make: Make) -> None:
    weight = np.array([9.0, 0.01, -0.01], np.float32)
    ax = plot_topology(make((2, 2), [(0, 2), (0, 3), (1, 3)], weight=weight))
    colors = next(collection for collection in ax.collections if isinstance(collection, LineCollection)).get_colors()
    assert np.asarray(colors)[:, 3].min() >= 0.3


def test_cells_by_epoch_with_their_extinctions() -> None:
    ax = plot_cells([10, 10, 12, 12], [(2, 4, 2)])
    assert np.asarray(ax.lines[0].get_ydata()).tolist() == [10, 10, 12, 12]
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [2]
    with pytest.raises(ShapeError, match="got 0"):
        plot_cells([], [])


def test_signals_are_shares_of_their_largest() -> None:
    ax = plot_signals({"noise": [1.0, -4.0, 2.0], "none": [0.0, 0.0, 0.0]}, [3, 6, 9])
    assert np.asarray(ax.lines[0].get_ydata()).tolist() == [0.25, -1.0, 0.5]
    with pytest.raises(OptionError, match="expected 2 values, one an event, got 1"):
        plot_signals({"noise": [1.0]}, [3, 6])


PLOTS: dict[str, Callable[[Topology, Lives, Axes | None], Axes]] = {
    "cells": lambda topology, past, ax: plot_cells([1, 2], [], ax),
    "degrees": lambda topology, past, ax: plot_degrees(topology, ax),
    "families": lambda topology, past, ax: plot_families(past, 6, ax),
    "signals": lambda topology, past, ax: plot_signals({}, [], ax),
    "survival": lambda topology, past, ax: plot_survival(past, ax),
    "topology": lambda topology, past, ax: plot_topology(topology, ax),
    "values": lambda topology, past, ax: plot_values(topology, topology, "weight", ax),
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_draws_where_the_user_says_and_by_itself(net: dna.Network, past: Lives, tmp_path: Path, name: str) -> None:
    ax = Figure().subplots()
    assert PLOTS[name](net.topology(), past, ax) is ax
    own = PLOTS[name](net.topology(), past, None)
    assert save_figure(own.figure, tmp_path / "plot.png").stat().st_size > 2000  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_takes_a_topology_without_cells(make: Make, tmp_path: Path, name: str) -> None:
    topology = make((2, 1), [])
    own = PLOTS[name](topology, lives(topology, []), None)
    save_figure(own.figure, tmp_path / "plot.png")  # type: ignore[arg-type]
