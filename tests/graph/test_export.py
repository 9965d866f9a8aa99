"""Exports: networkx reads each of them back whole, and a file is replaced whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dna import files
from dna.errors import DNAError, FileError, OptionError, UnknownNameError
from dna.graph.export import FORMATS as REGISTERED
from dna.graph.export import Format, export
from dna.graph.lives import Chronicle
from dna.graph.topology import Topology
from dna.graph.view import view

Make = Callable[..., Topology]
FORMATS = ("gexf", "graphml", "json")
# What XML 1.0 can hold, but for the carriage return, which parsers may change.
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n<>&\"'")
)


def read(path: Path) -> nx.MultiDiGraph:
    """Read an export with networkx alone, as a user would."""
    if path.suffix == ".gexf":
        return nx.read_gexf(path, node_type=int)
    if path.suffix == ".graphml":
        return nx.read_graphml(path, node_type=int, force_multigraph=True)
    return nx.node_link_graph(json.loads(path.read_text(encoding="utf-8")), edges="edges")


def cells_of(graph: nx.Graph) -> dict[int, tuple[int, int, dict[str, Any]]]:
    """Return (source, target, attributes) by cell id.

    GEXF repeats the id among the attributes; it is all that is left of it where there are no parallel cells, as networkx then
    reads a graph without keys.
    """
    cells = {}
    keys = {"keys": True} if graph.is_multigraph() else {}
    for source, target, *key, data in graph.edges(data=True, **keys):
        attributes = dict(data)
        text_id = attributes.pop("id", None)
        assert text_id is None or not key or int(text_id) == key[0]
        cells[key[0] if key else int(text_id)] = (source, target, attributes)
    return cells


def require_whole(topology: Topology, path: Path) -> None:
    """Compare what networkx reads with the view of the same topology, value by value and type by type."""
    back, expected = read(path), view(topology, lambda: topology.version)
    nodes, cells = dict(back.nodes(data=True)), cells_of(back)
    activations, dtype = ",".join(topology.activations), topology.cells.weight.dtype.name
    whole = {"version": topology.version, "kind": topology.kind, "activations": activations, "dtype": dtype}
    if path.suffix == ".gexf":
        labels = {node: data.pop("label") for node, data in nodes.items()}
        assert labels == {node: str(data.get("name", node)) for node, data in expected.nodes(data=True)}
        assert back.graph["edge_default"] == whole
    else:
        assert back.graph.items() >= whole.items()
    assert back.is_directed()
    assert nodes == dict(expected.nodes(data=True))
    assert cells == cells_of(expected)
    assert types_in(cells) == types_in(cells_of(expected))


def types_in(cells: dict[int, tuple[int, int, dict[str, Any]]]) -> set[tuple[str, type]]:
    return {(name, type(value)) for _, _, data in cells.values() for name, value in data.items()}


@pytest.mark.parametrize("suffix", FORMATS)
def test_networkx_reads_it_back_whole(deep: Topology, tmp_path: Path, suffix: str) -> None:
    path = export(deep, tmp_path / f"topology.{suffix}")
    assert path == tmp_path / f"topology.{suffix}"
    require_whole(deep, path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_parallel_cells(make: Make, tmp_path: Path, suffix: str) -> None:
    topology = make((2, 2), [(0, 2), (1, 2), (0, 3)], kind="tanh", version=0)
    require_whole(topology, export(topology, tmp_path / f"t.{suffix}"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_cells(make: Make, tmp_path: Path, suffix: str) -> None:
    topology = make((3, 2), [])
    require_whole(topology, export(topology, tmp_path / f"t.{suffix}"))


@st.composite
def topologies(draw: st.DrawFn, make: Make) -> Topology:
    real = draw(st.sampled_from(("float32", "float64")))
    levels = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    level = np.repeat(np.arange(len(levels)), levels)
    pairs = [(a, b) for a in range(len(level)) for b in range(len(level)) if level[a] < level[b]]
    ends = draw(st.lists(st.sampled_from(pairs), max_size=12))
    n = len(ends)
    number = st.floats(allow_nan=False, width=32 if real == "float32" else 64)
    ids = sorted(draw(st.lists(st.integers(0, 2**62), min_size=n, max_size=n, unique=True)))
    names = draw(st.none() | st.lists(XML_TEXT, min_size=len(level), max_size=len(level)).map(tuple))
    numbered = draw(st.booleans())
    return make(
        levels,
        ends,
        real=real,
        version=draw(st.integers(0, 2**40)),
        id=ids,
        weight=np.array(draw(st.lists(number, min_size=n, max_size=n)), real),
        bias=np.array(draw(st.lists(number, min_size=n, max_size=n)), real),
        parent=draw(st.lists(st.integers(-1, 2**62), min_size=n, max_size=n)),
        names=tuple(range(7, 7 + len(level))) if numbered else names,
        input_shape=draw(st.sampled_from((None, (1, levels[0]), (levels[0], 1)))),
    )


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_topology_comes_back(make: Make, tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    topology = data.draw(topologies(make))
    require_whole(topology, export(topology, tmp_path / f"t.{suffix}"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_float32_comes_back_bit_by_bit(make: Make, tmp_path: Path, suffix: str) -> None:
    weight = np.array([0.1, 1 / 3, 1e-45, 3.4028235e38, -0.0, 16777217.0], np.float32)
    topology = make((1, 1), [(0, 1)] * 6, weight=weight)
    back = read(export(topology, tmp_path / f"t.{suffix}"))
    by_id = {key: data["weight"] for _, _, key, data in back.edges(keys=True, data=True)}
    again = np.array([by_id[key] for key in topology.cells.id.tolist()], np.float32)
    assert again.tobytes() == weight.tobytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_weights_of_a_model_that_diverged(make: Make, tmp_path: Path, suffix: str) -> None:
    topology = make((1, 1), [(0, 1)] * 3, weight=np.array([np.nan, np.inf, -np.inf], np.float32))
    back = read(export(topology, tmp_path / f"t.{suffix}"))
    weights = [data["weight"] for _, _, _, data in sorted(back.edges(keys=True, data=True), key=lambda edge: edge[2])]
    np.testing.assert_array_equal(weights, [np.nan, np.inf, -np.inf])


HOSTILE = ("<&>\"'", "", " pad ", "a\nb\tc", "\x00\x07", "c\rd", "\ud800", "naïve 🧬")
WRITTEN = ("<&>\"'", "", " pad ", "a\nb\tc", "\\x00\\x07", "c\\rd", "\\ud800", "naïve 🧬")


@pytest.mark.parametrize("suffix", ["gexf", "graphml"])
def test_names_that_xml_cannot_hold_are_written_as_python_would(make: Make, tmp_path: Path, suffix: str) -> None:
    back = read(export(make((7, 1), [(0, 7), (0, 7)], names=HOSTILE), tmp_path / f"t.{suffix}"))
    assert tuple(back.nodes[k]["name"] for k in range(8)) == WRITTEN


def test_json_holds_any_name(make: Make, tmp_path: Path) -> None:
    back = read(export(make((7, 1), [(0, 7)], names=HOSTILE), tmp_path / "t.json"))
    assert tuple(back.nodes[k]["name"] for k in range(8)) == HOSTILE


@pytest.mark.parametrize(
    ("suffix", "expected"), [("gexf", ("1", "two", "3")), ("graphml", ("1", "two", "3")), ("json", (1, "two", 3))]
)
def test_numbers_among_words_are_words_in_xml(make: Make, tmp_path: Path, suffix: str, expected: tuple[object, ...]) -> None:
    back = read(export(make((2, 1), [(0, 2), (0, 2)], names=(1, "two", 3)), tmp_path / f"t.{suffix}"))
    assert tuple(back.nodes[k]["name"] for k in range(3)) == expected


def test_json_is_networkx_own_layout(deep: Topology, tmp_path: Path) -> None:
    data = json.loads(export(deep, tmp_path / "t.json").read_text())
    expected = nx.node_link_data(view(deep, lambda: 3), edges="edges")
    by_key = sorted(expected["edges"], key=lambda edge: edge["key"])
    assert data == expected | {"edges": by_key}


@pytest.mark.parametrize(("write", "suffix"), [(nx.write_gexf, "gexf"), (nx.write_graphml, "graphml")])
def test_networkx_own_writers_take_the_view(deep: Topology, tmp_path: Path, write: Callable[..., None], suffix: str) -> None:
    picture = view(deep, lambda: 3)
    write(picture, tmp_path / f"theirs.{suffix}")
    back, ours = read(tmp_path / f"theirs.{suffix}"), read(export(deep, tmp_path / f"ours.{suffix}"))
    assert set(back.edges(keys=True)) == set(ours.edges(keys=True)) == set(picture.edges(keys=True))
    for u, v, key in picture.edges(keys=True):
        assert {**back.edges[u, v, key], "id": None} == {**ours.edges[u, v, key], "id": None}


def test_the_same_topology_gives_the_same_bytes(deep: Topology, tmp_path: Path) -> None:
    for suffix in REGISTERED:
        one, two = (export(deep, tmp_path / f"{k}.{suffix}").read_bytes() for k in "ab")
        assert one == two


def test_the_suffix_is_read_in_any_case_and_a_str_will_do(deep: Topology, tmp_path: Path) -> None:
    assert export(deep, str(tmp_path / "t.GraphML")).read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["t.gefx", "t", "t.gexf.bak", ".gexf"])
def test_an_unknown_suffix_is_told_the_known_ones(deep: Topology, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match="known are csv, dot, gexf, graphml, html, json, parquet, png, svg"):
        export(deep, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3, b"t.gexf"])
def test_what_is_no_path_is_refused(deep: Topology, path: Any) -> None:
    with pytest.raises(OptionError, match="expected a str or a path"):
        export(deep, path)


def test_a_missing_folder(deep: Topology, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"existing folder, there is none at .*nowhere") as caught:
        export(deep, tmp_path / "nowhere" / "t.gexf")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, DNAError)


def test_a_folder_that_is_a_file(deep: Topology, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="existing folder"):
        export(deep, tmp_path / "file" / "t.gexf")


def test_a_path_that_is_a_folder(deep: Topology, tmp_path: Path) -> None:
    (tmp_path / "t.gexf").mkdir()
    with pytest.raises(FileError, match="got a folder"):
        export(deep, tmp_path / "t.gexf")


def test_a_null_byte_in_the_path(deep: Topology) -> None:
    with pytest.raises(FileError, match="null"):
        export(deep, "a\0b.gexf")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(deep: Topology, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            export(deep, tmp_path / "t.gexf")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_earlier_file(deep: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.gexf"
    path.write_text("earlier")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(FileError, match=r"No space left.*unchanged") as caught:
        export(deep, path)
    assert isinstance(caught.value.__cause__, OSError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.gexf"]
    assert path.read_text() == "earlier"


def test_an_exporter_that_fails_half_way_leaves_the_earlier_file(
    deep: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.json"
    path.write_text("earlier")

    def half(topology: Topology, chronicle: Chronicle) -> Iterator[bytes]:
        yield b"{"
        raise KeyError("half")

    monkeypatch.setitem(REGISTERED._entries, "json", Format(half))
    with pytest.raises(KeyError, match="half"):
        export(deep, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.json"]
    assert path.read_text() == "earlier"


def test_a_link_stays_and_its_file_is_replaced(deep: Topology, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("earlier")
    (tmp_path / "link.json").symlink_to("real.json")
    export(deep, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    require_whole(deep, tmp_path / "real.json")


def test_a_new_file_has_the_permissions_of_any_new_file(deep: Topology, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    mode = stat.S_IMODE((tmp_path / "other").stat().st_mode)
    assert stat.S_IMODE(export(deep, tmp_path / "t.gexf").stat().st_mode) == mode
