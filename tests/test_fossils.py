"""The fossil record: what an event tells of the dead and of the pool, lineages, past versions, and what it all costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch, dag_network, naive_copy, unchanged

import dna
from dna.cpu.pool import release
from dna.graph.topology import CellTable

RULES = [{"split": 0.6, "delete": 0.2}, {"split": 0.1, "delete": 0.5}, {"split": 0.9, "delete": 0.1, "jitter": 0.3}]


def train(net: dna.Network, epochs: int = 1, **options: Any) -> dna.History:
    x, y = batch(8, net.n_in), batch(8, net.n_out)
    return net.fit(x, y, epochs=epochs, batch_size=4, loss="mse", optimizer=dna.Adam(0.01), progress=False, **options)


def lived(device: str) -> dna.Network:
    """Return a network with three extinctions behind it."""
    net = dag_network(device)
    for rule in RULES:
        train(net)
        net.extinction(dna.Extinction(**rule))
    return net


def columns_of(cells: CellTable) -> dict[str, list[Any]]:
    return {name: getattr(cells, name).tolist() for name in ("id", "source", "target", "weight", "bias", "parent", "born")}


# --- remains ------------------------------------------------------------------------------------------------------------


def test_the_dead_and_those_that_split_are_kept_as_they_were(device: str) -> None:
    net = dag_network(device)
    train(net)
    before = naive_copy(net)
    slot_of = {cell.id: slot for slot, cell in enumerate(before.slots) if cell is not None}
    event = net.extinction(dna.Extinction(split=0.3, delete=0.3))
    assert len(event.dead) == len(event.split) == 5
    assert event.dead.slot.tolist() == sorted(slot_of[cell] for cell in event.died.tolist())
    for kept, names in ((event.split, ()), (event.dead, ("source", "target", "weight_grad", "bias_grad", "parent", "born"))):
        cells = [before.slots[slot_of[cell]] for cell in kept.id.tolist()]
        for name in ("weight", "bias", *names):
            assert getattr(kept, name).tolist() == [getattr(cell, name) for cell in cells], name
        assert kept.state.T.tolist() == [cell.state for cell in cells if cell is not None]
    assert not event.dead.weight.flags.writeable
    with pytest.raises(AttributeError):
        _ = event.dead.age


def test_a_birth_and_a_death_cost_a_few_tens_of_bytes() -> None:
    for optimizer, birth, death in ((dna.SGD(0.1), 24, 48), (dna.Adam(0.1), 40, 64)):
        net = dna.Network([10, 20], device="cpu")
        net.fit(batch(4, 10), batch(4, 20), epochs=1, loss="mse", optimizer=optimizer, progress=False)
        event = net.extinction(dna.Extinction(split=0.2, delete=0.1))
        assert event.record_bytes == 40 * birth + 20 * death


def test_a_file_grows_by_what_the_record_keeps_and_little_more(tmp_path: Path) -> None:
    def size(net: dna.Network) -> int:
        net.save(tmp_path / "net.dna")
        return (tmp_path / "net.dna").stat().st_size

    net = dna.Network([100, 50], device="cpu")
    before = size(net)
    event = net.extinction(dna.Extinction(split=0.2, delete=0.2))
    assert event.record_bytes == 1000 * (24 + 48)
    assert event.record_bytes <= size(net) - before < event.record_bytes + 2000


# --- the pool and the losses ----------------------------------------------------------------------------------------------


def test_the_event_tells_of_the_pool() -> None:
    net = dna.Network([10, 4], device="cpu")
    event = net.extinction(dna.Extinction(split=0.0, delete=0.25))
    assert (event.capacity_before, event.free_before, event.fragmentation) == (40, 0, 10 / 40)
    event = net.extinction(dna.Extinction(split=0.2, delete=0.0))
    assert (event.capacity, event.free_before, event.fragmentation) == (40, 10, 4 / 40)
    event = net.extinction(dna.Extinction(split=1.0, delete=0.0))  # 72 cells in 80 slots
    assert (event.capacity_before, event.capacity, event.fragmentation) == (40, 80, 0.0)
    assert event.bytes == 80 * (4 + 4 + 4 * 4 + 8 + 8 + 4 + 4) + 5 * 8
    assert event.signals == {} and event.optimizer is None


def test_the_loss_of_the_next_evaluation_is_noted() -> None:
    net = dag_network("cpu")
    rule = dna.Extinction(**RULES[0], every=2, patience=0, min_delta=10.0)
    history = train(net, 5, extinction=rule)
    first, second = net.fossils
    assert (first.epoch, second.epoch) == (2, 4)
    assert (first.loss_next, second.loss_next) == (history.loss[2], history.loss[4])
    by_hand = [net.extinction(dna.Extinction(**rule_)) for rule_ in RULES[:2]]
    assert [event.loss_next for event in by_hand] == [None, None]
    loss = train(net, 2, validation=(batch(8, 3, 1), batch(8, 2, 1))).val_loss[0]
    assert [event.loss_next for event in by_hand] == [loss, loss]
    assert first.loss_next == history.loss[2]


# --- lineage ------------------------------------------------------------------------------------------------------------


def test_the_lineage_of_every_cell_living_or_dead(device: str) -> None:
    net = lived(device)
    parent = dict.fromkeys(range(19), -1)
    for event in net.fossils:
        parent |= dict(zip(event.born.tolist(), event.parents.tolist(), strict=True))

    def line(cell: int) -> list[int]:
        return [] if parent[cell] == -1 else [parent[cell], *line(parent[cell])]

    dead = {cell: event for event in net.fossils for cell in event.died.tolist()}
    assert len(dead) > 5 and max(len(line(cell)) for cell in parent) >= 2
    for cell in parent:
        found, founder = net.fossils.lineage(cell), [cell, *line(cell)][-1]
        assert found.cell == cell and list(found.ancestors) == line(cell)
        assert found.children.tolist() == [other for other in parent if parent[other] == cell]
        assert found.descendants.tolist() == [other for other in parent if cell in line(other)]
        assert found.family.tolist() == [other for other in parent if [other, *line(other)][-1] == founder]
        assert found.died is dead.get(cell)
        assert (found.born is None) == (cell < 19)
        assert found.born is None or cell in found.born.born


def test_a_cell_that_never_lived_has_no_lineage() -> None:
    record = lived("cpu").fossils
    last = int(record[-1].born[-1])
    assert record.lineage(last).born is record[-1]
    with pytest.raises(dna.FossilError, match=rf"expected an id below {last + 1}, the next to be given, got {last + 1}"):
        record.lineage(last + 1)
    with pytest.raises(dna.OptionError, match="cell: expected an integer of at least 0"):
        record.lineage(-1)


# --- past versions ------------------------------------------------------------------------------------------------------


def test_every_past_version_comes_back(device: str, tmp_path: Path) -> None:
    """Nothing is trained between the extinctions, so that weights are known at all times."""
    net = dag_network(device)
    train(net)
    tables = []
    for rule in RULES:
        tables.append(columns_of(net.cells))
        net.extinction(dna.Extinction(**rule))
    tables.append(columns_of(net.cells))
    net.save(tmp_path / "net.dna")
    for one in (net, dna.load(tmp_path / "net.dna", device=device)):
        for version, table in enumerate(tables):
            topology = one.at(version)
            assert topology.version == version and topology.n_nodes == 9
            assert columns_of(topology.cells) == table
    assert columns_of(net.cells) == tables[-1]


def test_a_past_weight_is_the_first_that_is_known_since() -> None:
    net = dag_network("cpu")
    event = net.extinction(dna.Extinction(split=0.3, delete=0.3))
    train(net)
    now = dict(zip(net.cells.id.tolist(), net.cells.weight.tolist(), strict=True))
    split = dict(zip(event.split.id.tolist(), event.split.weight.tolist(), strict=True))
    dead = dict(zip(event.died.tolist(), event.dead.weight.tolist(), strict=True))
    past = net.at(0).cells
    assert dict(zip(past.id.tolist(), past.weight.tolist(), strict=True)) == {
        cell: dead.get(cell, split.get(cell, now.get(cell))) for cell in range(19)
    }


def test_versions_that_nobody_knows_are_refused() -> None:
    net = lived("cpu")
    with unchanged(net), pytest.raises(dna.FossilError, match="expected at most the present one, 3, got 4"):
        net.at(4)
    with unchanged(net), pytest.raises(dna.OptionError, match="version: expected an integer of at least 0, got -1"):
        net.at(-1)
    pool = net.engine.pool
    assert release(pool.cells, pool.heap, int(np.flatnonzero(pool.cells.id[: pool.bump] >= 0)[0]))
    net.settle()
    net.extinction(dna.Extinction(**RULES[0]))
    assert len(net.at(4).cells) == net.fossils[-1].cells_before
    with pytest.raises(dna.FossilError, match="version 3 is not known: version 4 was made by kernels"):
        net.at(3)
