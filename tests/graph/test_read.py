"""Reading graphs: what was exported comes back as the same network, and what is no graph is refused."""

from __future__ import annotations

import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from compare import batch, dag_network

import dna
from dna import check


@pytest.mark.parametrize("suffix", ["gexf", "graphml", "json", "JSON"])
def test_an_export_comes_back_as_the_same_network(tmp_path: Path, suffix: str) -> None:
    net = dag_network("cpu", cell="tanh")
    dna.export(net, tmp_path / f"net.{suffix}")
    graph = dna.read_graph(tmp_path / f"net.{suffix}")
    inputs = [node for node in graph if graph.nodes[node]["role"] == "input"]
    outputs = [node for node in graph if graph.nodes[node]["role"] == "output"]
    again = dna.Network.from_networkx(
        graph, inputs=inputs, outputs=outputs, cell="tanh", activation=("relu", "tanh", "sigmoid", "identity"), dtype="float64"
    )
    assert len(again) == len(net)
    np.testing.assert_allclose(again.forward(batch(5, 3)), net.forward(batch(5, 3)), rtol=1e-12, atol=1e-12)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE g [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<gexf version="1.2"><graph defaultedgetype="directed"><nodes><node id="&b;"/></nodes></graph></gexf>"""
FETCH = b"""<?xml version="1.0"?><!DOCTYPE g SYSTEM "file:///etc/hostname"><graphml/>"""


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.gexf", b"", "content: expected GEXF, got something else: ExpatError"),
        ("a.gexf", BOMB, "content: expected XML without a document type"),
        ("a.graphml", FETCH, "content: expected XML without a document type"),
        ("a.graphml", b"<graphml/>", "content: expected GraphML"),
        ("a.json", b"[" * 10**6, "content: expected node-link JSON"),
        ("a.json", b'{"nodes": 3}', "content: expected node-link JSON"),
        ("a.json", b'{"directed": false, "nodes": [], "edges": []}', "content: expected a directed graph, got an undirected one"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(dna.GraphError, match=match) as caught:
        dna.read_graph(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("none.json", "pipe.json", "folder.json", "null\0.json"):
        with pytest.raises(dna.GraphError):
            dna.read_graph(tmp_path / name)
    with pytest.raises(dna.UnknownNameError, match="unknown graph format 'txt'"):
        dna.read_graph(tmp_path / "graph.txt")
    with pytest.raises(dna.OptionError):
        dna.read_graph(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.gexf", "a.graphml", "a.json"])
def test_a_file_that_is_larger_than_memory_is_refused_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(check, "memory", lambda: 2**33)
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 2**42)
    with pytest.raises(dna.GraphError, match=f"{name}: content: expected bytes that fit into memory, got {2**42}"):
        dna.read_graph(tmp_path / name)


@pytest.mark.parametrize("weight", [1e39, 10**400])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(dna.GraphError, match="weight"):
        dna.Network.from_networkx(nx.DiGraph([("a", "b", {"weight": weight})]), device="cpu")
