"""DOT, CSV, Parquet, SVG and PNG: other readers than ours read them, whatever nodes are called."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pydot
import pytest
from matplotlib.image import imread
from pyarrow import parquet

import dna
from dna.errors import MissingExtraError, OptionError
from dna.graph.export import FORMATS, export
from dna.graph.filters import part
from dna.graph.layout import lay_out
from dna.graph.topology import Topology

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot")

Make = Callable[..., Topology]
COLUMNS = ("id", "source", "target", "weight", "bias", "layer", "parent", "born")
HOSTILE = ('"];a->b;//', "<script>alert(1)</script>", "\\N\\G\\", "$\\frac$ \x00\x07\ud800", "=1+1,\n'x'", "", "naïve 🧬")


@pytest.fixture
def hostile(make: Make) -> Topology:
    return make((5, 2), [(0, 5), (0, 5), (3, 6), (4, 6)], names=HOSTILE)


def table_of(topology: Topology) -> dict[str, list[Any]]:
    columns = {name: getattr(topology.cells, name, None) for name in COLUMNS}
    columns["layer"] = topology.level[topology.cells.target]
    return {name: column.tolist() for name, column in columns.items() if column is not None}


def unquoted(value: str) -> Any:
    if not value.startswith('"'):
        return int(value)
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), value[1:-1])


# DOT


def test_dot_is_read_by_pydot(deep: Topology, tmp_path: Path) -> None:
    (graph,) = pydot.graph_from_dot_file(str(export(deep, tmp_path / "t.dot")))
    assert graph.get_type() == "digraph"
    read = {name: [] for name in ("source", "target", "key", "cell_weight", "bias", "layer", "parent", "born")}
    for edge in graph.get_edges():
        attributes = edge.get_attributes() | {"source": edge.get_source(), "target": edge.get_destination()}
        assert "weight" not in attributes  # a word of Graphviz
        for name, values in read.items():
            values.append(float(unquoted(attributes[name])))
    expected = table_of(deep)
    expected["key"], expected["cell_weight"] = expected.pop("id"), expected.pop("weight")
    assert read == {name: list(map(float, expected[name])) for name in read}
    nodes = {node.get_name(): node.get_attributes() for node in graph.get_nodes() if node.get_name().isdigit()}
    assert [unquoted(nodes[str(k)]["label"]) for k in range(7)] == list(deep.names or ())
    assert nodes["3"]["pixel_x"] == nodes["3"]["pixel_y"] == "1"
    assert unquoted(nodes["4"]["alive"]) == "true"


def test_a_hostile_name_is_a_label_in_dot_and_nothing_else(hostile: Topology, tmp_path: Path) -> None:
    (graph,) = pydot.graph_from_dot_file(str(export(hostile, tmp_path / "t.dot")))
    labels = [unquoted(node.get_attributes()["label"]) for node in graph.get_nodes() if node.get_name().isdigit()]
    assert labels == [name if "\x00" not in name else "$\\frac$ \\x00\\x07\\ud800" for name in HOSTILE]
    assert len(graph.get_edges()) == 4
    assert {node.get_name() for node in graph.get_nodes()} <= {*map(str, range(7)), "graph", "node", "edge", '"\\n"'}


# tables


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_csv_is_read_by_pandas_and_csv(make: Make, tmp_path: Path, real: str) -> None:
    topology = make((2, 2), [(0, 2), (1, 2), (1, 2), (0, 3)], real=real)
    path = export(topology, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path), pd.DataFrame(table_of(topology)))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {name: [float(row[name]) for row in rows] for name in COLUMNS} == table_of(topology)  # to the last bit


def test_csv_of_more_rows_than_a_piece(make: Make, tmp_path: Path) -> None:
    n = 70_000
    topology = make((1, 1), [(0, 1)] * n)
    read = pd.read_csv(export(topology, tmp_path / "t.csv"))
    assert read["id"].tolist() == topology.cells.id.tolist()


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_parquet_is_read_by_pyarrow_and_pandas(make: Make, tmp_path: Path, real: str) -> None:
    topology = make((2, 2), [(0, 2), (1, 2), (1, 2), (0, 3)], real=real, kind="tanh", version=9)
    path = export(topology, tmp_path / "t.parquet")
    table = parquet.read_table(path)
    assert table.to_pydict() == table_of(topology)
    assert {b"version": b"9", b"kind": b"tanh"}.items() <= (table.schema.metadata or {}).items()
    assert pd.read_parquet(path)["weight"].to_numpy().tobytes() == topology.cells.weight.tobytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_hostile_names_are_values_of_tables(hostile: Topology, tmp_path: Path, suffix: str) -> None:
    path = export(hostile, tmp_path / f"t.{suffix}")
    read = pd.read_csv(path, keep_default_na=False) if suffix == "csv" else pd.read_parquet(path)
    assert read["source_name"].tolist() == [HOSTILE[0], HOSTILE[0], "$\\frac$ \\x00\\x07\\ud800", HOSTILE[4]]
    assert read["target_name"].tolist() == ["", "", HOSTILE[6], HOSTILE[6]]


def test_parquet_without_pyarrow(deep: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install hebbian-dna\[parquet\]"):
        export(deep, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


# drawings


@pytest.mark.parametrize("which", ["deep", "hostile"])
def test_an_svg_is_sound_xml_without_scripts(request: pytest.FixtureRequest, tmp_path: Path, which: str) -> None:
    topology = request.getfixturevalue(which)
    root = ElementTree.parse(export(topology, tmp_path / "t.svg")).getroot()
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert root.tag.endswith("}svg")
    assert "script" not in tags
    assert tags.count("path") >= len(topology.cells)


def test_a_png_shows_blue_and_orange_cells(make: Make, tmp_path: Path) -> None:
    topology = make((2, 2), [(0, 2), (1, 3)], weight=np.array([1, -1], np.float32))
    pixels = imread(export(topology, tmp_path / "t.png"))[..., :3].reshape(-1, 3)
    assert (pixels[:, 0] - pixels[:, 2] > 0.5).sum() > 100
    assert (pixels[:, 2] - pixels[:, 0] > 0.4).sum() > 100


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_drawings_without_matplotlib(deep: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / f"t.{suffix}"
    path.write_text("earlier")
    with pytest.raises(MissingExtraError, match=r"pip install hebbian-dna\[plots\]"):
        export(deep, path)
    assert path.read_text() == "earlier"


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_topology_without_cells_has_a_file_in_every_format(make: Make, tmp_path: Path, suffix: str) -> None:
    assert export(make((3, 2), []), tmp_path / f"t.{suffix}").stat().st_size > 30


# sizes and parts


def test_a_format_that_its_readers_could_not_take_says_what_to_do(
    deep: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS._entries, "dot", FORMATS["dot"]._replace(most=8))
    with pytest.raises(OptionError, match=r"at most 8 cells.*\.dot.*got 9; write .parquet or .csv, or .*strongest=8\)"):
        export(deep, tmp_path / "t.dot")
    assert list(tmp_path.iterdir()) == []
    export(part(deep, {"strongest": 8}), tmp_path / "t.dot")


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_part_is_written_as_a_part(deep: Topology, tmp_path: Path, suffix: str) -> None:
    path = export(part(deep, {"target": 6, "strongest": 2}), tmp_path / f"t.{suffix}")
    if suffix == "csv":
        assert len(pd.read_csv(path)) == 2
    if suffix == "dot":
        assert len(pydot.graph_from_dot_file(str(path))[0].get_edges()) == 2


def test_a_network_exports_the_part_that_was_asked_for(tmp_path: Path) -> None:
    net = dna.Network([6, 3], device="cpu", init="glorot")
    assert len(pd.read_csv(dna.export(net, tmp_path / "t.csv", strongest=np.int64(5)))) == 5
    assert len(pd.read_csv(dna.export(net, tmp_path / "t.csv", target=7))) == 6


# layout


def test_levels_stand_left_to_right_and_pixels_as_the_image(make: Make) -> None:
    place = lay_out(make((6, 4, 2), [], input_shape=(2, 3), inputs=[5, 4, 3, 2, 1, 0])).place
    assert place[:6, 0].tolist() == [2, 1, 0, 2, 1, 0]
    assert np.diff(place[[5, 2], 1]).tolist() == [1]
    assert place[:6, 0].max() < place[6:10, 0].min() <= place[6:10, 0].max() < place[10:, 0].min()
    assert len(np.unique(place, axis=0)) == 12


@pytest.mark.parametrize("nodes", [1, 40, 41, 1000])
def test_no_two_nodes_share_a_place(make: Make, nodes: int) -> None:
    layout = lay_out(make((nodes, nodes), []))
    assert len(np.unique(layout.place.round(6), axis=0)) == 2 * nodes
    assert (layout.spacing > 0).all()
