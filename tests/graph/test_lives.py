"""Lives: against snapshots of a network taken before and after each extinction. GEXF with time: as networkx reads it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

import dna
from dna.graph.filters import part
from dna.graph.lives import ALIVE, Lives, lives
from dna.graph.topology import CellTable

GEXF = "{http://www.gexf.net/1.2draft}"


class Lived(NamedTuple):
    net: dna.Network
    snapshots: list[CellTable]  # of each version, just before the next extinction; the last is of now


@pytest.fixture(scope="module")
def lived() -> Lived:
    rng = np.random.default_rng(1)
    net = dna.Network([9, 5, 2], device="cpu", seed=1, dtype="float64")
    x = rng.random((60, 9))
    snapshots = []
    for _ in range(4):
        net.fit(x, x[:, :2].argmax(1), epochs=1, batch_size=20, optimizer=dna.Adam(0.02), progress=False)
        snapshots.append(net.cells)
        net.extinction(dna.Extinction(split=0.2, delete=0.2, jitter=0.3))
    net.fit(x, x[:, :2].argmax(1), epochs=1, batch_size=20, optimizer=dna.Adam(0.02), progress=False)
    return Lived(net, [*snapshots, net.cells])


@pytest.fixture(scope="module")
def past(lived: Lived) -> Lives:
    return lives(lived.net.topology(), lived.net.fossils)


def test_everybody_who_ever_lived_is_there_from_birth_to_death(lived: Lived, past: Lives) -> None:
    ids = np.concatenate([cells.id for cells in lived.snapshots])
    assert past.id.tolist() == sorted(set(ids.tolist()))
    for version, cells in enumerate(lived.snapshots):
        here = (past.born <= version) & ((past.died > version) | (past.died == ALIVE))
        assert past.id[here].tolist() == cells.id.tolist()
        for name in ("source", "target", "parent"):
            assert getattr(past, name)[here].tolist() == getattr(cells, name).tolist()
    assert (past.first, past.last) == (0, 4)
    assert (past.died != ALIVE).sum() == sum(event.n_died for event in lived.net.fossils) > 0


def test_weights_are_those_before_splits_before_death_and_now(lived: Lived, past: Lives) -> None:
    values = [dict(zip(cells.id.tolist(), cells.weight.tolist(), strict=True)) for cells in lived.snapshots]
    for cell, weight, died in zip(past.id.tolist(), past.weight.tolist(), past.died.tolist(), strict=True):
        assert weight == values[past.last if died == ALIVE else died - 1][cell]
    expected = sorted((cell, event.version - 1) for event in lived.net.fossils for cell in event.split.id.tolist())
    known = past.known
    assert list(zip(past.id[known.row].tolist(), known.version.tolist(), strict=True)) == expected
    for row, version, weight in zip(known.row.tolist(), known.version.tolist(), known.weight.tolist(), strict=True):
        assert weight == values[version][int(past.id[row])]


def test_a_part_tells_of_its_living_cells_alone(lived: Lived) -> None:
    few = part(lived.net.topology(), {"strongest": 5})
    past = lives(few, lived.net.fossils)
    assert past.id.tolist() == few.cells.id.tolist()
    assert set(past.died.tolist()) == {ALIVE}
    assert set(past.known.row.tolist()) <= set(range(5))


def test_without_a_record_there_is_the_present() -> None:
    net = dna.Network([3, 2], device="cpu")
    past = lives(net.topology(), net.fossils)
    assert past.id.tolist() == net.cells.id.tolist()
    assert (past.first, past.last, len(past.known.row)) == (0, 0, 0)


# GEXF


def test_networkx_reads_the_spell_of_every_cell(lived: Lived, past: Lives, tmp_path: Path) -> None:
    graph = nx.read_gexf(dna.export(lived.net, tmp_path / "t.gexf"), node_type=int)
    assert (graph.graph["mode"], graph.graph["start"], graph.graph["end"]) == ("dynamic", "0", "4")
    edges = {key: (u, v, data) for u, v, key, data in graph.edges(keys=True, data=True)}
    assert set(edges) == set(past.id.tolist())
    for row, cell in enumerate(past.id.tolist()):
        u, v, data = edges[cell]
        end = past.last if past.died[row] == ALIVE else past.died[row] - 1
        assert (u, v, data["weight"]) == (past.source[row], past.target[row], past.weight[row])
        assert data["spells"] == [(past.born[row], end)]


def test_the_weights_over_time_follow_each_other_without_a_gap(lived: Lived, past: Lives, tmp_path: Path) -> None:
    """As Gephi takes them; networkx keeps the last weight alone."""
    root = ElementTree.parse(dna.export(lived.net, tmp_path / "t.gexf")).getroot()
    for row, edge in enumerate(root.iter(f"{GEXF}edge")):
        values = [value.attrib for value in edge.iter(f"{GEXF}attvalue") if value.attrib["for"] == "weight"]
        course = [(float(value["value"]), int(value["start"]), int(value["end"])) for value in values]
        end = past.last if past.died[row] == ALIVE else past.died[row] - 1
        assert [start for _, start, _ in course] == [past.born[row], *(stop + 1 for _, _, stop in course[:-1])]
        assert course[-1] == (past.weight[row], course[-1][1], end)
        mine = past.known.row == row
        splits = zip(past.known.weight[mine], past.known.version[mine], strict=True)
        assert [(weight, stop) for weight, _, stop in course[:-1]] == list(splits)


def test_at_every_time_gephi_would_show_the_cells_of_that_version(lived: Lived, tmp_path: Path) -> None:
    root = ElementTree.parse(dna.export(lived.net, tmp_path / "t.gexf")).getroot()
    spells = {int(e.attrib["id"]): e.find(f"{GEXF}spells/{GEXF}spell") for e in root.iter(f"{GEXF}edge")}
    for version, cells in enumerate(lived.snapshots):
        shown = {
            cell
            for cell, spell in spells.items()
            if spell is not None and int(spell.attrib["start"]) <= version <= int(spell.attrib["end"])
        }
        assert shown == set(cells.id.tolist())


def test_what_is_read_back_for_a_network_are_the_living(lived: Lived, tmp_path: Path) -> None:
    graph = dna.read_graph(dna.export(lived.net, tmp_path / "t.gexf"))
    assert {key for *_, key in graph.edges(keys=True)} == set(lived.net.cells.id.tolist())


def test_a_record_does_not_reach_files_without_time(lived: Lived, tmp_path: Path) -> None:
    graph = nx.read_graphml(dna.export(lived.net, tmp_path / "t.graphml"), force_multigraph=True)
    assert graph.number_of_edges() == len(lived.net)
