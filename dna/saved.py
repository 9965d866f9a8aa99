"""What a network is between two steps: its cells, its topology, its state as saved, and back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from dna import check
from dna.checkpoint import State
from dna.fossils import pack, unpack
from dna.graph.topology import Topology
from dna.rules import ScheduleState
from dna.training import Standing, find_optimizer
from dna.turn import in_turn
from dna.version import __version__

if TYPE_CHECKING:
    from dna.model import Model


@in_turn
def topology(network: Model) -> Topology:
    """Return the present version as arrays on the host."""
    nodes, download = network.engine.nodes, network.backend.download
    return Topology(
        version=network.version,
        cells=network.cells,
        level=download(nodes.level),
        inputs=download(nodes.inputs),
        outputs=download(nodes.outputs),
        activations=tuple(activation.name for activation in network.backend.maths.activations),
        kind=network.backend.maths.kind.name,
        names=network.names,
        input_shape=network.input_shape,
    )


@in_turn
def to_state(network: Model) -> State:
    """Return all that a network needs to go on: what `restore` takes."""
    pool, download = network.engine.pool, network.backend.download
    columns, free = pool.columns()
    if columns["state"].shape[0] == 0:
        del columns["state"]
    nodes = network.engine.nodes
    arrays = {f"cells.{name}": np.ascontiguousarray(column) for name, column in columns.items()}
    arrays |= {"heap.free": free, "nodes.level": download(nodes.level)}
    arrays |= {"nodes.inputs": download(nodes.inputs), "nodes.outputs": download(nodes.outputs)}
    for name, table in network.engine.statistics.tables.items():
        arrays[f"statistics.{name}"] = download(table)
    events, remains = pack(network.events, network.backend.maths.dtype)
    return State(_meta(network) | {"fossils": events}, arrays | remains)


def restore(network: Model, state: State) -> None:
    """Give an assembled network the rest of what was saved: optimizer, schedule, fossil record."""
    meta = state.meta
    if meta["optimizer"] is not None:
        network.optimizer = find_optimizer(meta["optimizer"]["name"], **meta["optimizer"]["options"])
        network.step = meta["optimizer"]["step"]
    network.schedule = ScheduleState(**meta["schedule"])
    network.standing = None if meta["standing"] is None else Standing(**meta["standing"])
    network.epoch, network.trained = meta["epoch"], meta["trained"]
    tables = {name.removeprefix("statistics."): array for name, array in state.arrays.items()}
    network.engine.statistics.restore(meta["statistics"], tables)
    network.input_shape = check.image_shape(meta["input_shape"], network.n_in)
    network.events = unpack(meta["fossils"], state.arrays, network.undoer)
    network.last_options = meta["extinction"]
    network.engine.compile(meta["plan"])  # as `auto` where it is refused: a GPU has no dense plan


def _meta(network: Model) -> dict[str, Any]:
    maths, pool, optimizer = network.backend.maths, network.engine.pool, network.optimizer
    return {
        "dna_version": __version__,
        "dtype": maths.dtype.name,
        "kind": maths.kind.name,
        "activations": [activation.name for activation in maths.activations],
        "node_names": None if network.names is None else list(network.names),
        "input_shape": None if network.input_shape is None else list(network.input_shape),
        "capacity": pool.capacity,
        "fixed": pool.fixed,
        "next_id": pool.next_id,
        "version": network.version,
        "seed": network.engine.seed,
        "deterministic": network.deterministic,
        "plan": network.engine.plans.asked,
        "rng": network.rng.bit_generator.state,
        "optimizer": None
        if optimizer is None
        else {"name": optimizer.name, "options": optimizer.options(), "step": network.step},
        "schedule": network.schedule._asdict(),
        "extinction": network.last_options,
        "epoch": network.epoch,
        "standing": None if network.standing is None else network.standing._asdict(),
        "trained": network.trained,
        "statistics": network.engine.statistics.state(),
    }


class HostCopy:
    """The last state on the host of a network that lives elsewhere, for the day when its device is gone.

    Attributes
    ----------
    state : State or None
    """

    SHARE = 0.01
    """At most this share of the time goes into copying."""

    def __init__(self) -> None:
        self.state: State | None = None
        self._due = 0.0

    def renew(self, network: Model) -> None:
        """Copy the state, unless the last copy was made just now."""
        start = time.perf_counter()
        if network.device == "cpu" or start < self._due:
            return
        self.state = to_state(network)
        end = time.perf_counter()
        self._due = end + (end - start) / self.SHARE
